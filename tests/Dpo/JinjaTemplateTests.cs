using System.Text.Json;
using TinyDpo.Dpo;

namespace TinyDpo.Tests;

/// <summary>Our Jinja against jinja2 itself, in the constructs that chat templates are made of.</summary>
public class JinjaTemplateTests
{
    private static readonly (string Role, string Content)[][] s_conversations =
    [
        [("user", " q\n")],
        [("system", "S "), ("user", "q"), ("assistant", "<think>t</think>\n\na"), ("user", "r")],
        [("user", "q"), ("assistant", "a"), ("user", "été 日本"), ("assistant", " b ")],
        [("user", "q"), ("user", "again")],
    ];

    private static readonly string[] s_templates =
    [
        "{% for m in messages %}\n    {{ m.role }}: {{ m['content'] }}\n{% endfor %}\n\nend\n",
        "{%- for m in messages -%}\n  [{{- m.role | upper -}}]  {# a comment #}\n  {{ m.content | trim }}\n{%- endfor %}\n{{ 'go' if add_generation_prompt }}\n\n",
        "  {% if messages[0].role == 'system' %}\n  {% set system = messages[0].content.strip() %}\n  {% set rest = messages[1:] %}\n  {% else %}\n{% set system = '' %}{% set rest = messages %}{% endif %}\n"
            + "{% for m in rest %}{% if loop.first and system %}<<{{ system }}>>{% endif %}{{ m.role + '\\n' ~ loop.index ~ loop.index0 }}{{ ',' if not loop.last else '.' }}{% endfor %}",
        "{%- if tools %}{{- tools | tojson(indent=4) }}{%- elif not tools is defined and messages | length > 2 %}{{- 'long' }}{%- else %}{{- \"short\" }}{%- endif %}",
        "{{- bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}{{ m.content + eos_token }}{% endfor %}",
        "{%- set ns = namespace(found=false, last=messages|length - 1) %}{%- for m in messages[::-1] %}{%- set at = (messages|length - 1) - loop.index0 %}"
            + "{%- if not ns.found and m.role == 'user' and not(m.content.startswith('x') and m.content.endswith('y')) %}{%- set ns.found = true %}{%- set ns.last = at %}{%- endif %}{%- endfor %}{{ ns.last }} {{ ns.found }}",
        "{%- for m in messages %}{%- if m.role == 'assistant' %}{%- set c = m.content %}{%- if '</think>' in c %}{%- set c = c.split('</think>')[-1].lstrip('\\n') %}{%- endif %}{%- generation %}{{- c }}{%- endgeneration %}{%- elif m.role not in ['system', \"tool\"] %}{{- m.content }}{%- endif %}{%- endfor %}",
        "{{ messages[-1].content[:2] }}{{ messages[9] }}{{ none is none }}{{ undefined_name is defined }}{{ messages[0].tool_calls is defined and messages[0].tool_calls }}",
        "{%- for m in messages %}\n\n   {%- if 'tool_calls' in m or m.content is mapping %}x{% endif %}\n   {{- '<|' + m.role + \"|>\\n\" }}\n   {%+ if m.content is string and m.content is not none %}\n{{ m.content|replace('q', 'Q') }}\n   {% endif %}\n{%- endfor %}",
        "{{ -3 + 2 * 4 // 3 }} {{ 7 % 3 }} {{ 1 < 2 }} {{ 'a' in 'abc' and 'b' not in ['c'] }} {{ not 1 }} {{ [1, 2] + [3] == [1, 2, 3] }} {{ {'a': 1}['a'] }} {{ ('x' 'y') | default('z') }}{{ nothing | default('z') }}",
        "{% for m in messages if m.role == 'user' and m.content != 'r' %}{{ loop.index }}/{{ loop.length }}{{ m.content }}{% endfor %}",
        "{% set users = messages | selectattr('role', 'equalto', 'user') | list %}{% for m in messages %}{{ m == users[-1] }}{% for k, v in m.items() %}{{ k ~ v }}{% endfor %}{% endfor %}",
        "{% set a = namespace() %}{% set b = namespace() %}{% set a.x = b %}{% set b.x = a %}{{ a == b }}{{ a != b }}{{ a in [b] }}{{ a == a }}{{ a in [b, a] }}{{ [a] == [b] }}",
        "{{ namespace(x=1) == namespace(x=1) }}{{ dict(x=1) == dict(x=1) }}{{ namespace(x=1) == dict(x=1) }}",
        "{% set d = dict(x=1) %}{% set d.x = 2 %}{{ d.x }}",
        "{{ 'abcdef'[1::9223372036854775807] }}|{{ 'abcdef'[::-9223372036854775807 - 1] }}|{{ 'abcdef'[-9223372036854775807:9223372036854775807:2] }}|{{ 'abcdef'[4:1:-2] }}|{{ 'abcdef'[::-5] }}|{{ 'abcdef'[5:2] }}|{{ 'abcdef'[1:-1] }}",
        "{{ [1, 2, 3][::-9223372036854775807] == [3] }}{{ [1, 2, 3][1:9223372036854775807:9223372036854775807] == [2] }}{{ [1, 2, 3][::-1] == [3, 2, 1] }}{{ [1, 2, 3][2:2] == [] }}",
        "{{ (-9223372036854775807 - 1) % (0 - 1) }} {{ -7 // 2 }} {{ 7 // -2 }} {{ -6 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ -6 % 3 }} {{ 9007199254740993 // 1 }} {{ -5 % 9223372036854775807 }}",
        "{{ 'x' | default('E', true) }}{{ '' | default('EMPTY', true) }}{{ 0 | default(default_value='E', boolean=true) }}{{ '' | default('E') }}{{ none | default('N') }}{{ [] | d('N', 1) }}{{ nothing | d(boolean=true) }}{{ nothing | d(none) }}",
        "{{ ' hi h ' | trim('h') }}|{{ 'hhih' | trim('h') }}|{{ 'hh' | trim(chars='h') }}|{{ ' a ' | trim(none) }}|{{ 'aa' | trim('') }}|{{ 3 | trim }}|{{ ' a '.strip('') }}|{{ ' a '.lstrip(none) }}|{{ 'abcab'.rstrip('ba') }}|{{ none | upper }}|",
        "{% for a in [1, 2] %}{% for b in [1] %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}{{ loop.depth }}{{ loop.depth0 }}{% endfor %}",
        "{{ [1, 2] | join(d=',') }}{{ ['a', 'b'] | join(1) }}{{ messages | join(', ', 'role') }}{{ messages | join(attribute='content') }}{{ [{'a': [{'b': 1}, {'b': 2}]}] | join(attribute='a.1.b') }}{{ [[1, 2]] | join(attribute=1) }}",
        "{{ 'aaa' | replace('a', 'b', 2) }}{{ 'aaa' | replace(old='a', new='c', count=1) }}{{ 'aaa' | replace('a', 'b', none) }}{{ 'aaa' | replace('a', 'b', -1) }}{{ 'aaa' | replace('a', 'bb', 0) }}{{ 'aaa'.replace('a', 'b', 1) }}{{ 'aaa'.replace('a', 'b', 9) }}{{ 121 | replace('1', '3') }}",
        "{{ 'a b c'.split(' ', 1) | join('|') }}{{ 'a b c'.split(sep=' ', maxsplit=1) | join('|') }}{{ ' a  b '.split() | join('|') }}{{ 'a b'.split(none) | join('|') }}{{ 'a b'.split(' ', -1) | join('|') }}{{ 'a b'.split(' ', 0) | join('|') }}{{ 'a b'.split(maxsplit=-1) | length }}",
        "{{ {'a': 1}.get('b', 5) }}{{ {'a': 1}.get('b') }}{{ 1 is in(seq=[1]) }}{{ 1 is in [1, 2] }}{{ 1 is eq(1) }}{{ dict({'a': 1}, b=2)['b'] }}{{ namespace({'a': 1}, a=3).a }}{{ messages | selectattr('content') | list | length }}{{ messages | rejectattr('role', 'in', seq=['user']) | list | length }}",
        "{{ 'a' | upper(1) }}",
        "{{ 'a' | default(foo=1) }}",
        "{{ 'a' | default('b', default_value='c') }}",
        "{{ 'a' | default('x', 'y', 'z') }}",
        "{{ 'a' | trim(1) }}",
        "{{ 'a' | length(1) }}",
        "{{ 'a'.upper(1) }}",
        "{{ 'a'.replace(old='a', new='b') }}",
        "{{ {'a': 1}.get('b', default=5) }}",
        "{{ {'a': 1}.get('b', 5, 6) }}",
        "{{ 1 is defined(3) }}",
        "{{ 1 is eq(1, 2) }}",
        "{{ 1 is equalto(other=1) }}",
        "{{ [{'a': 1}] | selectattr('a', 'eq', b=1) | list }}",
        "{{ [{'a': 1}] | selectattr('a', 'eq', 1, 2) | list }}",
        "{{ [1] | first(2) }}",
        "{{ 'a' | default(boolean=true, 'b') }}",
        "{{ [a=1] }}",
        "{{ raise_exception() }}",
        "{% set v %}{% endset %}",
        "{{ missing.member }}",
        "{{ 'a' + 1 }}",
    ];

    /// <summary>The texts are those of jinja2; where it raises, we refuse.</summary>
    [Test]
    public void TextsAreThoseOfJinja()
    {
        var request = JsonSerializer.Serialize(new
        {
            templates = s_templates,
            conversations = s_conversations.Select(static c => c.Select(static m => new { role = m.Role, content = m.Content })),
        });
        var expected = PythonScript.Run("Dpo/jinja_render.py", request, "jinja2");
        Assert.Multiple(() =>
        {
            for (var t = 0; t < s_templates.Length; t++)
            {
                for (var c = 0; c < s_conversations.Length; c++)
                {
                    foreach (var opens in new[] { false, true })
                    {
                        var text = expected[t][c][opens ? 1 : 0].GetString();
                        Assert.That(Render(s_templates[t], s_conversations[c], opens), Is.EqualTo(IsUnsupported(s_templates[t]) ? null : text), s_templates[t]);
                    }
                }
            }
        });
    }

    // What jinja2 can and we refuse.
    private static bool IsUnsupported(string template) => template.Contains("{% set v %}");

    [TestCase("{% for m in messages %}", "line 1: the template's end stands where {% should")]
    [TestCase("a\n{% endif %}", "line 2: endif stands alone")]
    [TestCase("{{ 'a }}", "line 1: a string has no end")]
    [TestCase("\n\n{{ a ", "line 3: a tag has no end")]
    [TestCase("{# a", "line 1: a comment has no end")]
    [TestCase("{% if a %}{% else %}{% elif b %}{% endif %}", "elif stands where endif should")]
    [TestCase("{{ a ? b }}", "a tag holds the character ?")]
    [TestCase("{% include 'x' %}", "the statement 'include' is not supported")]
    [TestCase("{% for m in messages recursive %}{% endfor %}", "recursive stands where %} should")]
    [TestCase("{{ 'a' | default(boolean=true, boolean=true) }}", "line 1: the argument 'boolean' is given twice")]
    [TestCase("{{ 'a' | default(boolean=true, 'b') }}", "line 1: b stands behind named arguments, and has no name")]
    [TestCase("{{ [a=1] }}", "line 1: = stands where , should")]
    [TestCase("{{ ((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((((1 }}", "nested more than 64 deep")]
    public void AFaultHasItsLine(string template, string message) =>
        Assert.That(() => JinjaTemplate.Parse(template), Throws.TypeOf<JinjaException>().With.Message.Contains(message));

    [Test]
    public void AnEndlessExpressionIsRefused()
    {
        var terms = string.Concat(Enumerable.Repeat("1+", 100_000));
        Assert.That(() => JinjaTemplate.Parse("{{ " + terms + "1 }}"), Throws.TypeOf<JinjaException>().With.Message.Contains("a tag holds more than 1000"));
        Assert.That(JinjaTemplate.Parse("{{ " + terms[..900] + "1 }}").Render([]), Is.EqualTo("451"));
    }

    [TestCase("{{ messages | tojson }}", "line 1: the filter 'tojson' on a list is not supported")]
    [TestCase("\n{{ strftime_now('%d') }}", "line 2: the function 'strftime_now' is not supported")]
    [TestCase("{{ messages is callable }}", "the test 'callable' is not supported")]
    [TestCase("{{ 'a'.center(3) }}", "the method 'center' of a string is not supported")]
    [TestCase("{{ 'a' | default(foo=1) }}", "line 1: the filter 'default' has no argument of the name 'foo'")]
    [TestCase("{{ 'a' | default('b', default_value=1) }}", "the filter 'default' is given its argument 'default_value' twice")]
    [TestCase("{{ 'a' | default(1, 2, 3) }}", "the filter 'default' takes 2 at most: 3 given")]
    [TestCase("{{ 'a' | upper(1) }}", "the filter 'upper' takes no arguments: 1 given")]
    [TestCase("{{ 'a' | replace('b') }}", "the filter 'replace' lacks its argument 'new'")]
    [TestCase("{{ 'a' | trim(1) }}", "the filter 'trim' on a string with a number is not supported")]
    [TestCase("{{ 'a'.replace('a', new='b') }}", "the method 'replace' has no argument of the name 'new'")]
    [TestCase("{{ 'a'.startswith('a', 1) }}", "the method 'startswith' takes 1 at most: 2 given")]
    [TestCase("{{ 1 is eq }}", "the test 'eq' lacks its argument 1")]
    [TestCase("{{ messages | selectattr('a', b=1) }}", "the filter 'selectattr' without a test has no argument of the name 'b'")]
    [TestCase("{{ raise_exception('in its words') }}", "in its words")]
    [TestCase("{{ raise_exception('in\ntwo') }}", "in?two")] // a message is one line
    [TestCase("{{ 'a' + dict()['ro\nle'] }}", "ro?le")] // found by fuzzing
    public void WhatIsNotSupportedIsRefusedWhereItIsReached(string template, string message)
    {
        var parsed = JinjaTemplate.Parse(template);
        Assert.That(() => parsed.Render([("messages", new List<object?>())]), Throws.TypeOf<JinjaException>().With.Message.Contains(message));
        Assert.That(JinjaTemplate.Parse("{% if false %}" + template + "{% endif %}").Render([]), Is.Empty);
    }

    // Two equal strings of 3 million characters.
    private const string Long = "{% set n = namespace(s=t, r=t) %}{% for a in t[:15] %}{% set n.s = n.s + n.s %}{% set n.r = n.r + n.r %}{% endfor %}";

    /// <summary>Templates that would go on for ever, or fill the memory.</summary>
    [TestCase("{% for a in t %}{% for b in t %}{% for c in t %}{% for d in t %}{% endfor %}{% endfor %}{% endfor %}{% endfor %}", "turns of loops")]
    [TestCase("{% set n = namespace(s=t) %}{% for a in t %}{% set n.s = n.s + n.s %}{% endfor %}", "a value is longer than")]
    [TestCase("{% set n = namespace(s=[1]) %}{% for a in t %}{% set n.s = n.s + n.s %}{% endfor %}", "a value is longer than")]
    [TestCase("{% set n = namespace(s=t) %}{% for a in t %}{% set n.s = n.s.replace('a', 'aa') %}{% endfor %}", "a value is longer than")]
    [TestCase("{% set n = namespace(s=t) %}{% for a in t %}{% set n.s = [n.s, n.s] | join %}{% endfor %}", "a value is longer than")]
    [TestCase("{% set n = namespace(s=t) %}{% for a in t %}{% set n.s = n.s ~ n.s %}{% endfor %}", "a value is longer than")]
    [TestCase("{% set s = t + t + t + t + t %}{% for a in s %}{% for b in s %}{{ s }}{% endfor %}{% endfor %}", "characters are written")]
    [TestCase(Long + "{% for c in n.s[:500000] %}{% set d = n.s | upper %}{% endfor %}", "characters in all")]
    [TestCase(Long + "{% set k = namespace(l=[]) %}{% for a in t %}{% set k.l = k.l + [n.s ~ a] %}{% endfor %}", "characters in all")]
    [TestCase(Long + "{% for a in n.s[:500000] %}{% if n.s == n.r %}{% endif %}{% endfor %}", "characters in all")]
    [TestCase(Long + "{% for a in n.s[:500000] %}{% if n.s < n.r %}{% endif %}{% endfor %}", "characters in all")]
    [TestCase(Long + "{% for a in n.s[:500000] %}{% if n.s in [n.r] or 'b' in n.s or n.s is in(dict()) %}{% endif %}{% endfor %}", "characters in all")]
    [TestCase(Long + "{% for a in n.s[:500000] %}{% set d = [n.s.strip('b'), n.s.startswith(n.r), dict()[n.s], n.s.split('b')] %}{% endfor %}", "characters in all")]
    [TestCase(Long + "{% set l = n.s[:500000] | list %}{% for a in l %}{% if 'b' in l or l | selectattr('x', 'defined') %}{% endif %}{% endfor %}", "characters in all")]
    [TestCase(Long + "{% set d = n.s.strip(n.r) %}{% set a = n.s[:999999] ~ 'b' %}{% if n.s[:1999999] in a + a + a + a %}{% endif %}", "characters in all")]
    [TestCase("{% set n = namespace(a=[], b=[]) %}{% for c in t[:50] %}{% set n.a = [n.a, n.a] %}{% set n.b = [n.b, n.b] %}{% endfor %}{% if n.a == n.b %}{% endif %}", "characters in all")]
    public void AHostileTemplateEnds(string template, string message) => Assert.That(
        () => JinjaTemplate.Parse(template).Render([("t", new string('a', 100))]), Throws.TypeOf<JinjaException>().With.Message.Contains(message));

    /// <summary>To the stack's end, if nothing held it.</summary>
    [Test]
    public void ListsNestedWithoutEndAreNotCompared()
    {
        const string Template = "{% set a = namespace(v=[]) %}{% set b = namespace(v=[]) %}{% for c in t %}{% set a.v = [a.v] %}{% set b.v = [b.v] %}{% endfor %}{{ a.v == b.v }}";
        var parsed = JinjaTemplate.Parse(Template);
        Assert.That(parsed.Render([("t", new string('a', 60))]), Is.EqualTo("True"));
        Assert.That(() => parsed.Render([("t", new string('a', 70))]), Throws.TypeOf<JinjaException>().With.Message.Contains("nested more than 64 deep"));
    }

    /// <summary>Where Python's numbers would grow past 64 bits.</summary>
    [TestCase("9223372036854775807 + 1")]
    [TestCase("-9223372036854775807 - 2")]
    [TestCase("9223372036854775807 * 9223372036854775807")]
    [TestCase("-(-9223372036854775807 - 1)")]
    [TestCase("(-9223372036854775807 - 1) // -1")]
    public void ANumberOutOfRangeIsRefused(string expression) => Assert.That(
        () => JinjaTemplate.Parse("{{ " + expression + " }}").Render([]), Throws.TypeOf<JinjaException>().With.Message.Contains("line 1: a number is out of range"));

    [TestCase("1 // 0")]
    [TestCase("1 % 0")]
    public void ADivisionByZeroIsRefused(string expression) => Assert.That(
        () => JinjaTemplate.Parse("{{ " + expression + " }}").Render([]), Throws.TypeOf<JinjaException>().With.Message.Contains("line 1: a number is divided by zero"));

    private static string? Render(string template, (string Role, string Content)[] conversation, bool opens)
    {
        try
        {
            var messages = conversation.Select(static m => (object?)new Dictionary<string, object?> { ["role"] = m.Role, ["content"] = m.Content }).ToList();
            return JinjaTemplate.Parse(template).Render(
                [("messages", messages), ("add_generation_prompt", opens), ("bos_token", "<s>"), ("eos_token", "</s>")]);
        }
        catch (JinjaException)
        {
            return null;
        }
    }
}
