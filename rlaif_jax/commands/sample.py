"""`sample`: a checkpoint writes."""

import time
from collections import Counter
from pathlib import Path

from jax.sharding import Mesh

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.inputs import read_prompts
from rlaif_jax.commands.policy import Policy, load_policy, open_devices
from rlaif_jax.commands.rows import DECODED
from rlaif_jax.config import SampleConfig
from rlaif_jax.data.tokenization import decode_completion, encode_prompt
from rlaif_jax.errors import PreemptedError
from rlaif_jax.files import write_json, write_records
from rlaif_jax.records import Completion, Prompt, Usage, content_hash
from rlaif_jax.run_folder import claim
from rlaif_jax.runtime import distributed, watchdog
from rlaif_jax.runtime.device_time import device_seconds, device_time
from rlaif_jax.sampling.engine import Request, Sampled, Sampler
from rlaif_jax.typing import Json


def run(config: SampleConfig, out: Path, console: Console) -> Json:
    """Completes every prompt once, and writes the completions in prompt order."""
    prompts = read_prompts(config.prompts, config.splits)
    with open_devices(config.mesh, pod=config.pod) as mesh:
        length = config.tokens.max_prompt_tokens + config.tokens.max_completion_tokens
        policy = load_policy(config.model, mesh, rows=DECODED, num_tokens=length)
        distributed.require_shared(out)
        if distributed.is_main():
            claim(out, config, inputs=content_hash([p.prompt_id for p in prompts]))
        counts: Counter[str] = Counter()
        requests = [_request(config, policy, prompt, counts) for prompt in prompts]
        if num_truncated := counts["prompts_truncated"]:
            console.say(f"warning: {_truncation(num_truncated, len(prompts))}")
        sampler = _sampler(config, policy, mesh)
        started = time.monotonic()
        completions: list[Completion] = []
        held = device_time(out, mesh.size, writes=distributed.is_main())
        with watchdog.armed(config.pod.hang_s, out), held:
            for request, sampled in zip(
                requests, sampler.sample(requests), strict=True
            ):
                completions.append(_completion(config, policy, request, sampled))
                watchdog.moved(f"completion {len(completions) + 1}")
                _heed_stop(len(completions))
                console.update("samples", len(completions), len(requests))
        seconds = time.monotonic() - started
    result = _result(completions, seconds=seconds)
    result["device_seconds"] = device_seconds(out)  # of all runs here
    result["prompts_truncated"] = num_truncated
    result["file"] = str(out / "completions.jsonl")
    if distributed.is_main():
        write_records(out / "completions.jsonl", completions)
        write_json(out / "samples.json", result)
    return result


def _heed_stop(number: int) -> None:
    """Stops if a process of several was asked to, which JAX alone would not heed."""
    if distributed.stop_requested():
        raise PreemptedError(
            f"stopped after completion {number}, and none is kept: run the same command"
            " again"
        )


def _request(
    config: SampleConfig, policy: Policy, prompt: Prompt, counts: Counter[str]
) -> Request:
    token_ids = encode_prompt(
        policy.tokenizer, prompt.messages, config.tokens, counts=counts
    )
    return Request(prompt.prompt_id, token_ids)


def _sampler(config: SampleConfig, policy: Policy, mesh: Mesh) -> Sampler:
    return Sampler(
        policy.config,
        policy.params,
        mesh=mesh,
        temperature=config.temperature,
        top_k=config.top_k,
        top_p=config.top_p,
        max_prompt_tokens=config.tokens.max_prompt_tokens,
        max_new_tokens=config.tokens.max_completion_tokens,
        batch_size=config.batch_size,
        end_ids=(policy.config.eos_token_id,),
        seed=config.seed,
    )


def _completion(
    config: SampleConfig, policy: Policy, request: Request, sampled: Sampled
) -> Completion:
    text = decode_completion(policy.tokenizer, sampled.token_ids)
    ended = sampled.finish_reason == "stop"  # its end token counts too
    return Completion.create(
        request.row_key,
        text,
        generator=config.generator or policy.name,
        sampling={
            "temperature": config.temperature,
            "top_k": config.top_k,
            "top_p": config.top_p,
            "seed": config.seed,
        },
        finish_reason=sampled.finish_reason,
        usage=Usage(
            prompt_tokens=len(request.token_ids),
            completion_tokens=len(sampled.token_ids) + ended,
        ),
    )


def _result(completions: list[Completion], *, seconds: float) -> Json:
    tokens = sum(c.usage.completion_tokens for c in completions)
    ends = Counter(c.finish_reason for c in completions)
    return {
        "completions": len(completions),
        "finish_reasons": dict(sorted(ends.items())),
        "mean_completion_tokens": tokens / len(completions),
        "tokens_per_second": tokens / seconds,
        "seconds": seconds,
    }


def _truncation(num_truncated: int, total: int) -> str:
    """What was left out of prompts, and what to do."""
    return (
        f"{num_truncated} of {total} prompts are longer than tokens.max_prompt_tokens:"
        " the oldest turns, or the front of a single one, are left out; raise it to"
        " show them whole"
    )


def show(result: Json, out: Path) -> None:
    """Prints the counts, what was left out of prompts, and the speed."""
    del out
    ends = ", ".join(f"{k} {v}" for k, v in result["finish_reasons"].items())
    print(f"{result['completions']} completions ({ends}): {result['file']}")
    if num_truncated := result["prompts_truncated"]:
        print(_truncation(num_truncated, result["completions"]))
    print(
        f"{result['mean_completion_tokens']:.1f} tokens on average,"
        f" {result['tokens_per_second']:.0f} tokens/s"
    )
