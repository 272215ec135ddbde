#!/usr/bin/env python3
"""jinja2 set up as transformers does for chat templates: the oracle of JinjaTemplateTests.

stdin: {"templates": [...], "conversations": [[{"role", "content"}, ...], ...]}; stdout: for each template and conversation, without and with
the generation prompt, the text, or null where the template refuses. Exit code 77: there is no jinja2.
"""
import json
import sys

try:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
except ImportError:
    sys.exit(77)


class Generation(Extension):
    """{% generation %} prints what it holds."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body, lineno=line)


def refuse(message):
    raise jinja2.TemplateError(message)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, Generation])
environment.globals["raise_exception"] = refuse


def render(template, messages, opens):
    try:
        return environment.from_string(template).render(messages=messages, add_generation_prompt=opens, bos_token="<s>", eos_token="</s>")
    except (jinja2.TemplateError, TypeError):
        return None


request = json.load(sys.stdin)
print(json.dumps([[[render(t, c, opens) for opens in (False, True)] for c in request["conversations"]] for t in request["templates"]]))
