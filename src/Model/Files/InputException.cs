namespace TinyDpo.Models;

/// <summary>
/// Bad input from outside: the command line prints <see cref="Exception.Message"/> as its one line and exits with 1. The message names the
/// file, the place in it, what is wrong and the remedy.
/// </summary>
public sealed class InputException(string file, string? place, string problem, string remedy)
    : Exception($"{file}{(place is null ? "" : $", {place}")}: {problem}; {remedy}");
