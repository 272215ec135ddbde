using System.Text;

namespace TinyDpo.Dpo;

/// <summary>Completions token by token, coloured by log(pi / pi_ref); each shows its log-probs under the pointer and when focused.</summary>
internal static class TokenHeatMap
{
    // The colours' steps on each side of 0, and the nats from which on the last one is used.
    private const int Steps = 4;
    private const double Range = 2;

    public static string Draw(TokenPair pair)
    {
        var html = new StringBuilder($"<article><p class=\"prompt\">{Html.Escape(pair.Prompt)}</p>");
        Row("chosen", pair.Chosen);
        Row("rejected", pair.Rejected);
        return html.Append("</article>\n").ToString();

        void Row(string name, TokenScore[] tokens)
        {
            html.Append($"<p class=\"tokens\"><b>{name}</b> <span class=\"sum\">{Html.Number(tokens.Sum(static t => t.Policy - t.Reference))}</span> ");
            foreach (var token in tokens)
            {
                var tip = Html.Escape($"policy {Html.Number(token.Policy)}, reference {Html.Number(token.Reference)}, ratio {Html.Number(token.Policy - token.Reference)}");
                var text = token.Text.Length > 0 ? token.Text : " (end)"; // a special token has no text of its own
                html.Append($"<span class=\"token {Colour(token.Policy - token.Reference)}\" tabindex=\"0\" data-tip=\"{tip}\" aria-label=\"{Html.Escape(text)}: {tip}\" role=\"img\">{Html.Escape(text)}</span>");
            }
            html.Append("</p>");
        }
    }

    private static string Colour(double ratio)
    {
        var step = (int)Math.Round(Math.Clamp(ratio / Range, -1, 1) * Steps);
        return step < 0 ? $"down{-step}" : $"up{step}";
    }
}
