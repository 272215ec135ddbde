using TinyDpo.Cli;

return await CommandLine.RunAsync(args);
