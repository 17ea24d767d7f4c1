Console.WriteLine("benchmarks: kernels | pipeline");
