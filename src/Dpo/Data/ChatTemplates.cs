namespace TinyDpo.Dpo;

/// <summary>The Jinja of common templates, as the models' tokenizers have it, less what it says of tools.</summary>
internal static class ChatTemplates
{
    public const string ChatMl = """
        {%- for message in messages %}
            {{- '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}
        """;

    /// <summary>Qwen2.5-Instruct's: ChatML with a system turn of its own where the conversation has none.</summary>
    public const string Qwen25 = """
        {%- if messages[0]['role'] != 'system' %}
            {{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}
        {%- endif %}
        """ + ChatMl;

    public const string Llama2 = """
        {%- if messages[0]['role'] == 'system' %}
            {%- set turns = messages[1:] %}{%- set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}
        {%- else %}
            {%- set turns = messages %}{%- set system = '' %}
        {%- endif %}
        """ + Alternation + """
            {%- if message['role'] == 'user' %}
                {{- bos_token + '[INST] ' + ((system if loop.first else '') + message['content']).strip() + ' [/INST]' }}
            {%- else %}{{- ' ' + message['content'].strip() + ' ' + eos_token }}{%- endif %}
        {%- endfor %}
        """;

    public const string Llama3 = "{{- bos_token }}" + Llama3Turns;

    /// <summary>That of Llama 3.1 to 3.3, whose system turn begins with two dates; the second is the one that stands in the template.</summary>
    public const string Llama31 = """
        {%- if messages[0]['role'] == 'system' %}
            {%- set system = messages[0]['content'] | trim %}{%- set messages = messages[1:] %}
        {%- else %}
            {%- set system = '' %}
        {%- endif %}
        {{- bos_token + '<|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n' }}
        {{- system + '<|eot_id|>' }}
        """ + Llama3Turns;

    /// <summary>Mistral's with a system message in front of the first user's.</summary>
    public const string Mistral = """
        {%- if messages[0]['role'] == 'system' %}
            {%- set turns = messages[1:] %}{%- set system = messages[0]['content'] + '\n\n' %}
        {%- else %}
            {%- set turns = messages %}{%- set system = '' %}
        {%- endif %}
        {{- bos_token }}
        """ + Alternation + """
            {%- if message['role'] == 'user' %}{{- '[INST] ' + (system if loop.first else '') + message['content'].strip() + ' [/INST]' }}
            {%- else %}{{- ' ' + message['content'].strip() + eos_token }}{%- endif %}
        {%- endfor %}
        """;

    /// <summary>Mistral-7B-Instruct-v0.1's and v0.2's: no system message, and no space before an answer.</summary>
    public const string MistralV1 = """
        {%- set turns = messages %}
        {{- bos_token }}
        """ + Alternation + """
            {%- if message['role'] == 'user' %}{{- '[INST] ' + message['content'] + ' [/INST]' }}
            {%- else %}{{- message['content'] + eos_token }}{%- endif %}
        {%- endfor %}
        """;

    /// <summary>Zephyr's and TinyLlama's.</summary>
    public const string Zephyr = """
        {%- for message in messages %}
            {{- '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|assistant|>\n' }}{%- endif %}
        """;

    public const string Gemma = """
        {%- if messages[0]['role'] == 'system' %}{{- raise_exception('System role not supported') }}{%- endif %}
        {%- set turns = messages %}
        {{- bos_token }}
        """ + Alternation + """
            {{- '<start_of_turn>' + ('model' if message['role'] == 'assistant' else message['role']) + '\n' + message['content'] | trim }}
            {{- '<end_of_turn>\n' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<start_of_turn>model\n' }}{%- endif %}
        """;

    private const string Llama3Turns = """
        {%- for message in messages %}
            {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}
        {%- endfor %}
        {%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{%- endif %}
        """;

    private const string Alternation = """
        {%- for message in turns %}
            {%- if message['role'] != ('user' if loop.index0 % 2 == 0 else 'assistant') %}
                {{- raise_exception('turns of user and assistant must be in alternation') }}
            {%- endif %}
        """;
}
