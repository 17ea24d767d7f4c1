Console.WriteLine("streamlstm-sim");
