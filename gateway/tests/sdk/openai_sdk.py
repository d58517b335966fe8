"""What the OpenAI Python SDK sees of a gateway, checked by the SDK's own types.

Usage: openai_sdk.py BASE_URL. The provider behind the gateway answers, in this
order: a whole completion, a stream with usage, a stream that is cut between two
events, one that is cut within one, a 429.
"""

import sys

import openai

MESSAGES = [{"role": "user", "content": "Tell me about yourself"}]


def client(host: str) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=sys.argv[1],
        api_key="sk-of-the-client-77aa",
        default_headers={"Host": host},
        max_retries=0,
        timeout=15,
    )


def raises(kind: type[openai.OpenAIError], host: str, **request: object) -> openai.OpenAIError:
    try:
        client(host).chat.completions.create(**{"model": "qwen-plus", "messages": MESSAGES, **request})
    except openai.OpenAIError as error:
        assert type(error) is kind, f"{type(error).__name__} instead of {kind.__name__}: {error}"
        return error
    raise AssertionError(f"no {kind.__name__}")


def whole() -> None:
    answer = client("test.com").chat.completions.create(model="qwen-plus", messages=MESSAGES)
    assert answer.choices[0].message.content.startswith("I am a Large Language Model"), answer
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (3, 72), answer.usage
    assert answer._request_id, "no x-request-id"


def streamed() -> None:
    stream = client("test.com").chat.completions.create(
        model="qwen-plus", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    text, usage = "", None
    for chunk in stream:
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    assert text == "one two three", text
    assert (usage.prompt_tokens, usage.completion_tokens) == (11, 7), usage


def cut() -> None:
    text = ""
    stream = client("test.com").chat.completions.create(model="qwen-plus", messages=MESSAGES, stream=True)
    try:
        for chunk in stream:
            text += chunk.choices[0].delta.content
    except openai.APIError as error:
        assert type(error) is openai.APIError and "not whole" in error.message, repr(error)
        assert (error.type, error.code) == ("server_error", "upstream_reset"), error.body
        assert text == "one", text
        return
    raise AssertionError("a stream that was cut looked whole")


def cut_in_an_event() -> None:
    stream = client("test.com").chat.completions.create(model="qwen-plus", messages=MESSAGES, stream=True)
    try:
        for _ in stream:
            raise AssertionError("half an event was taken for one")
    except AssertionError:
        raise
    except Exception as error:  # the SDK lets its HTTP library's own error through
        assert "incomplete" in str(error) or "peer closed" in str(error), repr(error)
        return
    raise AssertionError("a stream that was cut looked whole")


def errors() -> None:
    limited = raises(openai.RateLimitError, "test.com")
    assert limited.code == "rate_limit_exceeded", limited.body
    assert limited.response.headers["retry-after"] == "7"
    assert raises(openai.PermissionDeniedError, "denied.example.com").response.text == "RBAC: access denied"
    raises(openai.NotFoundError, "unknown.example.com")
    bad = raises(openai.BadRequestError, "test.com", extra_body={"Model": "another"})
    assert bad.type == "invalid_request_error" and bad.message, bad.body
    assert bad.request_id, "no x-request-id"


if __name__ == "__main__":
    whole()
    streamed()
    cut()
    cut_in_an_event()
    errors()
    print("ok")
