"""How a model was made, read from the run folders that it came from."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rlaif_jax.checkpoint.card import Lineage, Section
from rlaif_jax.checkpoint.selection import NAME as SELECTION
from rlaif_jax.errors import CommandError
from rlaif_jax.files import read_json, read_text
from rlaif_jax.typing import Json

_MAX_STAGES = 20  # folders that name each other would never end
_METRICS = ("loss", "rewards/accuracies", "rewards/margins", "ppl/chosen")
_HUBS = ("huggingface", "tfds")  # readers whose path is a public name


def read_lineage(
    model: Path, evaluations: Sequence[Path] = (), *, step: int | None = None
) -> Lineage:
    """The stages of a model's making, the last one first.

    What is not there any more is left out: a model may have been moved without the
    folders that it came from.

    Args:
      model: The model folder.
      evaluations: Run folders of `evaluate` on it.
      step: Its checkpoint, if it is not the one that its run would give.

    Raises:
      UsageError: If one of `evaluations` holds no result.
    """
    sections = [_evaluation(folder) for folder in evaluations]
    base: str | None = None
    for folder, config in _runs(model):
        if "optimizer" in config:
            sections.append(_training(folder, config, step))
            parts = (_preferences(config), _completions(config), _prompts(config))
            sections += [part for part in parts if part is not None]
        start = config.get("model") or {}
        step = start.get("step")
        base = (
            config.get("repo")
            or start.get("preset")
            or _last_part(config.get("folder"))
            or base
        )
    asked = (part.facts.get("model") for part in sections)
    teachers = dict.fromkeys(name for name in asked if name)
    return Lineage(base_model=base, sections=sections, teachers=tuple(teachers))


def _runs(model: Path) -> Iterator[tuple[Path, Json]]:
    """The runs from a model's back to the first, with their configs."""
    folder = model
    for _ in range(_MAX_STAGES):
        if not (config := _known(folder / "config.json")):
            return
        yield folder, config
        start = (config.get("model") or {}).get("path")
        if start is None:
            return
        folder = Path(start)


def _training(folder: Path, config: Json, step: int | None) -> Section:
    """One run of sft or dpo."""
    kind = "Direct preference optimization" if "preferences" in config else "SFT"
    optimizer, tokens = config["optimizer"], config["tokens"]
    facts = {
        **_arm(folder),
        "optimizer": f"{optimizer['name']}, rate {optimizer['learning_rate']:g}",
        "batch size, epochs": f"{config['batch_size']}, {config['epochs']}",
        "steps": str(_known(folder / "training.json").get("step", "unknown")),
        **_checkpoint(folder, step),
        "prompt, completion": _limits(tokens),
        "template": tokens["template"],
    }
    if lora := config.get("lora"):
        facts["adapters"] = f"rank {lora['rank']}, alpha {lora['alpha']:g}"
    for name in ("loss", "beta", "label_smoothing"):
        if name in config:
            facts[name] = _told(config[name])
    last = _last_metrics(folder)
    facts |= {f"last {name}": f"{last[name]:.4g}" for name in _METRICS if name in last}
    return Section(kind, facts)


def _limits(tokens: Json) -> str:
    """How long texts may be; under the paper's rules, together and cut how."""
    prompt, completion = tokens["max_prompt_tokens"], tokens["max_completion_tokens"]
    if tokens.get("compat") != "paper":
        return f"at most {prompt}, {completion} tokens"
    return (
        f"at most {prompt + completion} tokens together, as in the paper: else the"
        f" prompt is cut to its {tokens['kept']} of {prompt}, and then the completion"
        f" to {completion}"
    )


def _checkpoint(folder: Path, step: int | None) -> dict[str, str]:
    """Which of a run's checkpoints is meant, where it is not the last one."""
    if step is not None:
        return {"checkpoint": f"step {step}, named by hand"}
    chosen = _known(folder / SELECTION)
    if "told" not in chosen:
        return {}
    return {"checkpoint": f"{chosen['told']} ({chosen['num_items']:,} examples)"}


def _preferences(config: Json) -> Section | None:
    """The labels that a run was trained on."""
    folder = Path(config.get("preferences", ""))
    told, labels = _known(folder / "config.json"), _known(folder / "label.json")
    if "critic" not in told or not labels:
        return None
    counts = ", ".join(f"{name} {count}" for name, count in labels["labels"].items())
    facts = {
        "model": _judge_name(told["critic"]),
        "orders": told["orders"],
        "comparisons": f"{labels['comparisons']:,} ({counts})",
        "pairs": f"{labels['pairs']:,}",
        "price": f"{labels['cost_usd']:.2f} USD",
    }
    return Section("AI feedback", facts)


def _completions(config: Json) -> Section | None:
    """The completions that a run was trained on."""
    folder = Path(config.get("completions", "")).parent
    told, made = _known(folder / "config.json"), _known(folder / "completions.json")
    if "teacher" not in told or not made:
        return None
    facts = {
        "model": told["teacher"].get("model", "recorded completions"),
        "completions": f"{made['completions']:,}",
        "price": f"{made['cost_usd']:.2f} USD",
    }
    return Section("Teacher's completions", facts)


def _prompts(config: Json) -> Section | None:
    """The prompts, or the pairs that their source has judged, of a run."""
    if "prompts" in config:
        folder, splits = Path(config["prompts"]).parent, config.get("splits")
    else:  # RUN/preferences/SPLIT
        pairs = Path(config.get("preferences", ""))
        folder, splits = pairs.parent.parent, [pairs.name]
    told, kept = _known(folder / "config.json"), _known(folder / "prompts.json")
    if "source" not in told or not kept:
        return None
    sources = kept.get("sources") or [told["source"]]  # as older runs have it
    facts = {
        "source": "; ".join(map(_source, sources)),
        "kept": f"{kept['prompts']:,} of {kept['read']:,}",
        "splits": ", ".join(splits or kept["splits"]),
    }
    return Section("Prompts", facts)


def _source(told: Json) -> str:
    """A data set by its public name and commit, or a file by its name alone."""
    if told.get("reader", told["format"]) not in _HUBS:
        return f"{told['format']}, {_last_part(told['path'])}"
    commit = f" at {told['revision']}" if told.get("revision") else ""
    return f"{told['format']}, {told['path']}{commit}"


def _evaluation(folder: Path) -> Section:
    """One result of `evaluate`."""
    result = read_json(folder / "win_rate.json", "evaluation result")
    facts = {
        "win rate": f"{result['win_rate']:.1f} ± {result['standard_error']:.1f} %"
        " (standard error)",
        "prompts": f"{result['n_total']:,}",
    }
    if evaluator := _known(folder / "config.json").get("evaluator"):
        facts["evaluator"] = _judge_name(evaluator)
    return Section("Evaluation", facts)


def _judge_name(config: Json) -> str:
    """The model that judged, or the models of a jury."""
    if "critics" in config:
        return " and ".join(_judge_name(seat) for seat in config["critics"])
    return config.get("model", "recorded verdicts")


def _arm(folder: Path) -> dict[str, str]:
    """Of which study's arms a run is, if it is in one."""
    place = folder.resolve()
    for root in place.parents[:3]:
        stages = _known(root / "study.json").get("stages", {})
        arms = {
            f"{row['arm']} (seed {row['seed']})"
            for rows in stages.values()
            for row in rows
            if (root / row["folder"]).resolve() == place
        }
        if arms:
            return {"arm of the study": ", ".join(sorted(arms))}
    return {}


def _told(value: Any) -> str:
    """A choice, or a choice with its options."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {option}" for name, option in value.items())
    return str(value)


def _last_part(path: str | None) -> str | None:
    """A path's last part: a card does not tell of anybody's folders."""
    return Path(path).name if path else None


def _last_metrics(folder: Path) -> Json:
    path = folder / "metrics.jsonl"
    lines = read_text(path).splitlines() if path.is_file() else []
    try:
        return json.loads(lines[-1]) if lines else {}
    except ValueError:  # a line cut short
        return {}


def _known(path: Path) -> Json:
    """A document, or nothing if it is not there or damaged."""
    try:
        return read_json(path, "run document") if path.is_file() else {}
    except CommandError:
        return {}
