namespace TinyDpo.Dpo;

/// <summary>The beginning of every report: colours for light and dark, layout, what hover and focus show, how it prints.</summary>
internal static class ReportStyle
{
    /// <summary>The colours of lines: s0, s1, and so on.</summary>
    public const int Colours = 9;

    /// <param name="refresh">Seconds after which the page loads itself anew; null for a page that does not change.</param>
    public static string Head(int? refresh) =>
        refresh is null ? Standing : Standing.Replace("<title>", $"<meta http-equiv=\"refresh\" content=\"{refresh}\"/><title>", StringComparison.Ordinal);

    // The tip of a token is CSS alone (attr), so that a page with hostile texts need not run any script.
    private const string Standing = """
        <!DOCTYPE html>
        <html lang="en"><head><meta charset="utf-8"/><meta name="viewport" content="width=device-width, initial-scale=1"/>
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:"/>
        <title>TinyDpo report</title><link rel="icon" href="data:,"/><style>
        :root { color-scheme: light dark; --back: #fff; --text: #1c1e21; --soft: #5c6470; --line: #dde1e6; --up: 33 102 172; --down: 214 96 20;
          --c0: #1f6fb4; --c1: #c9510c; --c2: #23824a; --c3: #8a4fb0; --c4: #a3303f; --c5: #7a6a10; --c6: #0d7c82; --c7: #b8387f; --c8: #5c6470; }
        @media (prefers-color-scheme: dark) { :root { --back: #15181c; --text: #e6e8eb; --soft: #a2abb6; --line: #343a42; --up: 90 160 235; --down: 240 140 60;
          --c0: #6cb2f0; --c1: #f29a5c; --c2: #6fce94; --c3: #c79be6; --c4: #f08a97; --c5: #d9c65a; --c6: #5cc9cf; --c7: #ee8fc4; --c8: #a2abb6; } }
        body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; max-width: 1360px; margin: 0 auto; padding: 16px 24px; }
        h1 { font-size: 24px; } h2 { font-size: 19px; border-top: 1px solid var(--line); padding-top: 16px; } h3 { font-size: 15px; }
        a { color: var(--c0); } nav a { margin-right: 12px; }
        .skip { position: absolute; left: -9999px; } .skip:focus { left: 8px; top: 8px; background: var(--back); padding: 4px; }
        .charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(380px, 1fr)); gap: 16px; }
        figure { margin: 0; break-inside: avoid; } figcaption { font-weight: 600; } svg { width: 100%; height: auto; }
        .grid { stroke: var(--line); } .tick { fill: var(--soft); font-size: 11px; }
        polyline { fill: none; stroke-width: 1.6; } circle { stroke: none; }
        .s0 { stroke: var(--c0); color: var(--c0); } .s1 { stroke: var(--c1); color: var(--c1); } .s2 { stroke: var(--c2); color: var(--c2); }
        .s3 { stroke: var(--c3); color: var(--c3); } .s4 { stroke: var(--c4); color: var(--c4); } .s5 { stroke: var(--c5); color: var(--c5); }
        .s6 { stroke: var(--c6); color: var(--c6); } .s7 { stroke: var(--c7); color: var(--c7); } .s8 { stroke: var(--c8); color: var(--c8); }
        .cell { fill: var(--c0); } .band { fill: transparent; stroke: none; } .mark:hover .band, .mark:focus .band { stroke: currentColor; }
        .mark circle { fill: currentColor; } .mark:hover circle, .mark:focus circle { r: 5px; } .mark:focus { outline: none; }
        .tip { visibility: hidden; fill: var(--text); font-size: 12px; stroke: var(--back); stroke-width: 4px; paint-order: stroke; }
        .mark:hover .tip, .mark:focus .tip { visibility: visible; }
        .legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 0; padding: 0 0 0 8px; font-size: 13px; color: var(--soft); }
        .key { display: inline-block; width: 16px; height: 3px; background: currentColor; margin-right: 5px; vertical-align: middle; }
        article { margin: 0 0 18px; break-inside: avoid; } .prompt { font-weight: 600; margin: 0; } .tokens { margin: 4px 0; line-height: 1.9; }
        .tokens b { display: inline-block; width: 70px; font-weight: 400; color: var(--soft); }
        .sum { display: inline-block; width: 60px; font-variant-numeric: tabular-nums; }
        .token { position: relative; white-space: pre-wrap; padding: 2px 0; border-radius: 2px; }
        .token:hover::after, .token:focus::after { content: attr(data-tip); position: absolute; left: 0; top: 100%; z-index: 1; white-space: nowrap;
          background: var(--text); color: var(--back); font-size: 12px; line-height: 1.4; padding: 2px 6px; border-radius: 3px; }
        .up1 { background: rgb(var(--up) / .15); } .up2 { background: rgb(var(--up) / .28); } .up3 { background: rgb(var(--up) / .42); } .up4 { background: rgb(var(--up) / .58); }
        .down1 { background: rgb(var(--down) / .15); } .down2 { background: rgb(var(--down) / .28); } .down3 { background: rgb(var(--down) / .42); } .down4 { background: rgb(var(--down) / .58); }
        dl { display: grid; grid-template-columns: 70px 1fr; margin: 4px 0; } dt { color: var(--soft); } dd { margin: 0; white-space: pre-wrap; }
        pre { overflow-x: auto; font-size: 13px; }
        @media print { nav, .skip { display: none; } body { max-width: none; } .token, .key { print-color-adjust: exact; } .charts { grid-template-columns: 1fr 1fr; } }
        </style></head><body><a class="skip" href="#main">Skip to the content</a>

        """;
}
