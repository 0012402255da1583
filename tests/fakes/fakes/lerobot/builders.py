"""Random checkpoints of LeRobot's policies, made offline: tiny, or of the published sizes.

Every builder writes a folder as ``save_pretrained`` does, with its processors and invented but
plausible statistics of the robot it is for. ``python builders.py FOLDER`` writes a tiny SmolVLA for
SO-101, to try things on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "LEKIWI",
    "LIBERO",
    "SO101",
    "Robot",
    "act",
    "demonstrations",
    "diffusion",
    "pi",
    "save",
    "smolvla",
    "tiny_gemma",
    "tokenizer",
    "vlm",
]


@dataclass(frozen=True)
class Robot:
    """What a checkpoint was trained on."""

    cameras: tuple[str, ...]
    state_mean: tuple[float, ...]
    state_std: tuple[float, ...]
    action_mean: tuple[float, ...]
    action_std: tuple[float, ...]
    image_size: int = 256

    def features(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return input and output features."""
        from lerobot.configs import FeatureType, PolicyFeature

        shape = (3, self.image_size, self.image_size)
        inputs = {
            f"observation.images.{name}": PolicyFeature(FeatureType.VISUAL, shape)
            for name in self.cameras
        }
        size = len(self.state_mean)
        inputs["observation.state"] = PolicyFeature(FeatureType.STATE, (size,))
        outputs = {"action": PolicyFeature(FeatureType.ACTION, (len(self.action_mean),))}
        return inputs, outputs

    def statistics(self) -> dict[str, dict[str, np.ndarray]]:
        """Return every kind of statistics that a normaliser may ask for."""
        found = {
            "observation.state": _moments(self.state_mean, self.state_std),
            "action": _moments(self.action_mean, self.action_std),
        }
        for name in self.cameras:
            moments = _moments((0.5, 0.4, 0.3), (0.3, 0.25, 0.2))
            found[f"observation.images.{name}"] = {
                key: value.reshape(3, 1, 1) for key, value in moments.items()
            }
        return found


def _moments(mean: tuple[float, ...], std: tuple[float, ...]) -> dict[str, np.ndarray]:
    center, spread = np.array(mean, np.float32), np.array(std, np.float32)
    low, high = center - 3 * spread, center + 3 * spread
    return {"mean": center, "std": spread, "min": low, "max": high, "q01": low, "q99": high}


LIBERO = Robot(
    cameras=("image", "image2"),
    state_mean=(-0.05, 0.03, 0.76, 2.97, -0.22, -0.13, 0.03, -0.03),
    state_std=(0.11, 0.15, 0.38, 0.34, 0.91, 0.33, 0.014, 0.014),
    action_mean=(0.06, 0.09, -0.09, 0.0, 0.006, -0.005, -0.05),
    action_std=(0.34, 0.38, 0.44, 0.04, 0.06, 0.08, 1.0),
)
SO101 = Robot(
    cameras=("top", "wrist"),
    state_mean=(0.0, -50.0, 50.0, 60.0, 0.0, 20.0),
    state_std=(25.0, 40.0, 30.0, 20.0, 30.0, 20.0),
    action_mean=(0.0, -50.0, 50.0, 60.0, 0.0, 20.0),
    action_std=(25.0, 40.0, 30.0, 20.0, 30.0, 20.0),
    image_size=128,
)
LEKIWI = Robot(
    cameras=("front", "wrist"),
    state_mean=(0.0, -50.0, 50.0, 60.0, 0.0, 20.0, 0.0, 0.0, 0.0),
    state_std=(25.0, 40.0, 30.0, 20.0, 30.0, 20.0, 0.1, 0.1, 30.0),
    action_mean=(0.0, -50.0, 50.0, 60.0, 0.0, 20.0, 0.0, 0.0, 0.0),
    action_std=(25.0, 40.0, 30.0, 20.0, 30.0, 20.0, 0.1, 0.1, 30.0),
)


def save(policy: Any, folder: Path, statistics: Mapping[str, Any] | None) -> Path:
    """Write a policy with its processors, and return the folder."""
    from lerobot.policies.factory import make_pre_post_processors

    folder.mkdir(parents=True, exist_ok=True)
    policy.save_pretrained(folder)
    for processor in make_pre_post_processors(policy.config, dataset_stats=statistics):
        processor.save_pretrained(folder)
    return folder


def act(folder: Path, robot: Robot, *, seed: int = 0, **changes: Any) -> Path:
    """Write an ACT of 11 M random parameters: ResNet-18, everything behind it tiny."""
    import torch
    from lerobot.policies.act.configuration_act import ACTConfig
    from lerobot.policies.act.modeling_act import ACTPolicy

    torch.manual_seed(seed)
    inputs, outputs = robot.features()
    settings = {
        "chunk_size": 10,
        "n_action_steps": 10,
        "dim_model": 32,
        "n_heads": 2,
        "dim_feedforward": 64,
        "n_encoder_layers": 1,
        "n_vae_encoder_layers": 1,
        "latent_dim": 8,
    } | changes
    config = ACTConfig(
        input_features=inputs,
        output_features=outputs,
        device="cpu",
        pretrained_backbone_weights=None,
        **settings,
    )
    return save(ACTPolicy(config), folder, robot.statistics())


def diffusion(folder: Path, robot: Robot, *, seed: int = 0, **changes: Any) -> Path:
    """Write a small Diffusion Policy: ResNet-18 and a U-Net of (32, 64), 12 M random parameters."""
    import torch
    from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig
    from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy

    torch.manual_seed(seed)
    inputs, outputs = robot.features()
    settings = {
        "horizon": 16,
        "n_action_steps": 8,
        "down_dims": (32, 64),
        "resize_shape": (64, 64),
        "use_group_norm": True,
        "use_separate_rgb_encoder_per_camera": False,
        "noise_scheduler_type": "DDIM",
        "num_inference_steps": 10,
    } | changes
    config = DiffusionConfig(
        input_features=inputs,
        output_features=outputs,
        device="cpu",
        pretrained_backbone_weights=None,
        **settings,
    )
    return save(DiffusionPolicy(config), folder, robot.statistics())


SENTENCES = (
    "pick up the black bowl between the plate and the ramekin and place it on the plate",
    "Put the cube into the bin. open the middle drawer of the cabinet",
    "Task: push the plate to the front of the stove, State: 0 12 255 -1;\nAction: ",
)


def tokenizer(folder: Path) -> Path:
    """Write a byte-level BPE tokenizer, trained on a few instructions, with SmolVLM's special tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = {
        "bos": "<|endoftext|>",
        "im_start": "<|im_start|>",
        "im_end": "<|im_end|>",
        "fake_image": "<fake_token_around_image>",
        "image": "<image>",
        "global": "<global-img>",
        "end": "<end_of_utterance>",
    }
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        SENTENCES,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=list(special.values()),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=special["bos"],
        eos_token=special["im_end"],
        pad_token=special["im_end"],
        unk_token=special["bos"],
        extra_special_tokens={
            "image_token": special["image"],
            "fake_image_token": special["fake_image"],
            "global_image_token": special["global"],
            "end_of_utterance_token": special["end"],
        },
    )
    fast.save_pretrained(folder)
    return folder


def vlm(folder: Path, *, full: bool = False, deep: bool = False) -> Path:
    """Write what SmolVLA reads of its vision-language model: configuration, processor, tokenizer."""
    from transformers import (
        LlamaConfig,
        PreTrainedTokenizerFast,
        SmolVLMConfig,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
        SmolVLMVisionConfig,
    )

    tokenizer(folder)
    fast = PreTrainedTokenizerFast.from_pretrained(folder)
    sizes = (
        {"vocab": 49280, "hidden": 960, "inter": 2560, "layers": 32, "heads": 15, "kv": 5}
        if full
        else {"vocab": 512, "hidden": 64, "inter": 128, "layers": 4, "heads": 4, "kv": 2}
    )
    sizes["layers"] = 32 if full or deep else 4
    text = LlamaConfig(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["hidden"],
        intermediate_size=sizes["inter"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv"],
        head_dim=64 if full else 16,
        pad_token_id=2,
        max_position_embeddings=8192,
    )
    vision = SmolVLMVisionConfig(
        hidden_size=768 if full else 32,
        intermediate_size=3072 if full else 64,
        num_hidden_layers=12 if full or deep else 2,
        num_attention_heads=12 if full else 2,
        image_size=512 if full else 64,
        patch_size=16,
    )
    config = SmolVLMConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        scale_factor=4 if full else 2,
        image_token_id=fast.convert_tokens_to_ids("<image>"),
        pad_token_id=2,
        tie_word_embeddings=False,
    )
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(),
        fast,
        SmolVLMVideoProcessor(),
        image_seq_len=64 if full else 4,
    )
    processor.save_pretrained(folder)
    config.save_pretrained(folder)
    return folder


def smolvla(
    folder: Path,
    robot: Robot,
    *,
    seed: int = 0,
    full: bool = False,
    deep: bool = False,
    **changes: Any,
) -> Path:
    """Write a SmolVLA with its tokenizer inside: 0.46 M random parameters, or the published 450 M.

    One that is ``deep`` has the published numbers of layers, each as narrow as the tiny one's.
    """
    import torch
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy

    backbone = vlm(folder / "vlm", full=full, deep=deep)
    torch.manual_seed(seed)
    inputs, outputs = robot.features()
    settings: dict[str, Any] = {"n_action_steps": 10}
    if not full:
        settings |= {"resize_imgs_with_padding": (64, 64), "num_vlm_layers": 16 if deep else 4}
    config = SmolVLAConfig(
        input_features=inputs,
        output_features=outputs,
        device="cpu",
        vlm_model_name=str(backbone),
        load_vlm_weights=False,
        **settings | changes,
    )
    return save(SmolVLAPolicy(config), folder, robot.statistics())


@contextmanager
def tiny_gemma() -> Iterator[None]:
    """Inside, LeRobot builds pi0 and pi0.5 tiny, also from a checkpoint: config.json cannot say it."""
    from lerobot.policies.pi0 import modeling_pi0
    from lerobot.policies.pi05 import modeling_pi05

    names = (
        "get_gemma_config",
        "PaliGemmaForConditionalGenerationWithPiGemma",
        "PiGemmaForCausalLM",
    )
    before = {
        (module, name): getattr(module, name)
        for module in (modeling_pi0, modeling_pi05)
        for name in names
    }
    for module in (modeling_pi0, modeling_pi05):
        _shrink(module)
    try:
        yield
    finally:
        for (module, name), value in before.items():
            setattr(module, name, value)


def _shrink(module: Any) -> None:
    gemma = module.GemmaConfig
    whole = module.PaliGemmaForConditionalGenerationWithPiGemma
    expert = module.PiGemmaForCausalLM

    def get_gemma_config(variant: str) -> Any:
        width = 64 if variant == "gemma_2b" else 32
        # LeRobot's training pass writes the 8 heads out.
        return gemma(width=width, depth=2, mlp_dim=128, num_heads=8, num_kv_heads=1, head_dim=16)

    def tiny_whole(config: Any) -> Any:
        vision = config.vision_config
        vision.hidden_size, vision.intermediate_size = 32, 64
        vision.num_hidden_layers, vision.num_attention_heads = 1, 2
        vision.patch_size = 56
        vision.projection_dim = config.text_config.hidden_size
        config.projection_dim = config.text_config.hidden_size
        config.text_config.vocab_size = 1024
        config._vocab_size = 1024
        config.image_token_index = config.image_token_id = 1023
        return whole(config=config)

    def tiny_expert(config: Any) -> Any:
        config.vocab_size = 1024
        return expert(config=config)

    module.get_gemma_config = get_gemma_config
    module.PaliGemmaForConditionalGenerationWithPiGemma = tiny_whole
    module.PiGemmaForCausalLM = tiny_expert


def pi(
    folder: Path,
    robot: Robot,
    *,
    kind: str = "pi05",
    seed: int = 0,
    full: bool = False,
    **changes: Any,
) -> Path:
    """Write a pi0 or pi0.5 of 0.6 M random parameters; it loads inside :func:`tiny_gemma` only.

    One that is ``full`` has the published 3.3 billion or so, in bfloat16, and loads anywhere. The norms
    of pi0.5 start at zero, where the network does not depend on time; here they do not.
    """
    import importlib

    import torch

    folder.mkdir(parents=True, exist_ok=True)
    words = tokenizer(folder / "tokenizer")
    configuration = importlib.import_module(f"lerobot.policies.{kind}.configuration_{kind}")
    modeling = importlib.import_module(f"lerobot.policies.{kind}.modeling_{kind}")
    name = kind.upper()
    torch.manual_seed(seed)
    inputs, outputs = robot.features()
    config = getattr(configuration, f"{name}Config")(
        input_features=inputs,
        output_features=outputs,
        device="cpu",
        **{"n_action_steps": 10, "dtype": "bfloat16" if full else "float32"} | changes,
    )
    with nullcontext() if full else tiny_gemma():
        policy = getattr(modeling, f"{name}Policy")(config)
    for key, parameter in policy.named_parameters():
        if key.endswith(".dense.weight"):
            torch.nn.init.normal_(parameter, std=0.3)
    processor = importlib.import_module(f"lerobot.policies.{kind}.processor_{kind}")
    original = processor.TokenizerProcessorStep

    def local(**arguments: Any) -> Any:
        return original(**arguments | {"tokenizer_name": str(words)})

    processor.TokenizerProcessorStep = local
    try:
        return save(policy, folder, robot.statistics())
    finally:
        processor.TokenizerProcessorStep = original


def demonstrations(
    folder: Path, robot: Robot, *, episodes: int = 2, frames: int = 30, size: int = 32, **more: Any
) -> Path:
    """Write a LeRobotDataset of smooth random motions, its pictures png of ``size``."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    state, action = len(robot.state_mean), len(robot.action_mean)
    columns: dict[str, Any] = {
        f"observation.images.{name}": {
            "dtype": "image",
            "shape": (size, size, 3),
            "names": ["height", "width", "channels"],
        }
        for name in robot.cameras
    }
    columns["observation.state"] = {"dtype": "float32", "shape": (state,), "names": None}
    columns["action"] = {"dtype": "float32", "shape": (action,), "names": None}
    dataset = LeRobotDataset.create("x", 20, columns, root=folder, use_videos=False, **more)
    rng = np.random.default_rng(0)
    for episode in range(episodes):
        phase = rng.uniform(0, 6, action)
        for frame in range(frames):
            wave = np.sin(phase + frame / 10)
            one: dict[str, Any] = {
                f"observation.images.{name}": rng.integers(0, 256, (size, size, 3), np.uint8)
                for name in robot.cameras
            }
            one["observation.state"] = rng.normal(robot.state_mean, robot.state_std)
            one["action"] = np.array(robot.action_mean) + wave * np.array(robot.action_std)
            for name in ("observation.state", "action"):
                one[name] = one[name].astype(np.float32)
            dataset.add_frame(one | {"task": f"push number {episode}"})
        dataset.save_episode()
    dataset.finalize()
    return folder


if __name__ == "__main__":
    import sys

    smolvla(Path(sys.argv[1]), SO101)
