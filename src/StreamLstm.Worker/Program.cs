Console.WriteLine("streamlstm");
