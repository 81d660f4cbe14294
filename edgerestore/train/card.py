"""Model cards: what weights are for, what they learned from, how well they do and where not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgerestore.files import write_beside
from edgerestore.networks import ModelSpec
from edgerestore.networks.weights import load_weights
from edgerestore.recipe.card import Card


def write_card(weights: Path, spec: ModelSpec, card: Card) -> Path:
    """Writes the card beside the weights that it is about; returns its path."""
    path = weights.with_suffix(".md")
    text = model_card(spec, card, load_weights(weights, spec).metadata)
    write_beside(path, text.encode())
    return path


def model_card(spec: ModelSpec, card: Card, metadata: Mapping[str, Any]) -> str:
    """The card as Markdown, from the recipe's words and the figures in the weights' metadata."""
    parts = [
        [f"# {spec.name}", "", card.purpose],
        ["## Network", "", *_network(spec)],
        ["## Scores", "", *_scores(metadata["scores"])],
        ["## Pictures it learned from", "", *_data(card, metadata)],
        ["## Training", "", *_training(metadata)],
        ["## Limits", "", *(f"- {limit}" for limit in card.limits)],
        ["## Licence", "", card.licence],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _network(spec: ModelSpec) -> Iterator[str]:
    tasks = f"{len(spec.tasks)} tasks: {', '.join(spec.tasks)}" if spec.tasks else spec.task
    yield f"- Task: {tasks}{f', x{spec.scale}' if spec.scale > 1 else ''}"
    yield f"- Parameters: {spec.params:,}"
    if spec.costs:
        yield f"- Work: {spec.costs.macs / 1e9:.2f} GMACs for a {spec.tile} x {spec.tile} input"
    yield f"- Origin: {spec.source}"


def _scores(scores: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not scores:
        yield "Not measured: the recipe holds nothing back."
        return
    yield "| set | images | input | PSNR-Y | SSIM-Y | PSNR of RGB | border |"
    yield "|---|---|---|---|---|---|---|"
    for score in scores:
        ssim = score["ssim_y"]
        yield (
            f"| {score['set']} | {len(score['images'])} | {score['input_psnr_y_db']:.2f} dB "
            f"| **{score['psnr_y_db']:.2f} dB** | {'-' if ssim is None else f'{ssim:.4f}'} "
            f"| {score['psnr_rgb_db']:.2f} dB | {score['border']} |"
        )
    yield ""
    for protocol in dict.fromkeys(score["protocol"] for score in scores):
        yield f"Measured so: {protocol}."
    yield "Input is the degraded picture itself, enlarged bicubically where the task enlarges."


def _data(card: Card, metadata: Mapping[str, Any]) -> Iterator[str]:
    for item in card.data:
        yield f"- **{item.name}**: {item.pictures}. Terms: {item.terms}. From {item.source}."
    pictures = metadata["pictures"]
    yield ""
    shards = f" and {pictures['shards']} shards" if "shards" in pictures else ""
    count = f"{pictures['count']} entries{shards} in all"
    yield f"{count}; SHA-256 over names and pixels {pictures['sha256']}."


def _training(metadata: Mapping[str, Any]) -> Iterator[str]:
    settings = metadata["training"]
    yield (
        f"{settings['steps']:,} steps of {settings['batch']} crops of {settings['patch']} x "
        f"{settings['patch']} input pixels, seed {settings['seed']}, in "
        f"{metadata['wall_time_s'] / 60:.0f} minutes. Every setting is in the file's metadata."
    )
    yield ""
    if "start" in metadata:
        start = metadata["start"]
        yield f"- Went on from: {start['model']}, SHA-256 {start['sha256']}"
    if settings.get("quantization"):
        yield f"- Learned to bear INT8 by the rules of: {settings['quantization']['target']}"
    if "teacher" in metadata:
        teacher = metadata["teacher"]
        yield f"- Taught by: {teacher['model']}, SHA-256 {teacher['weights_sha256']}"
    for title, key in (("Code", "code"), ("Hardware", "hardware"), ("PyTorch", "torch")):
        yield f"- {title}: {metadata[key]}"
