"""Self-supervised learning for medical ultrasound: public names, each imported when it is first used"""

__version__ = "0.1.0"

import importlib

# Name → the room that defines it. `import usjepa` is light; `from usjepa import load_encoder` imports that room alone.
PUBLIC = {
    "find_region": "image.region",
    "preprocess": "image.preprocess",
    "corrupt": "core.corruption",
    "Masks": "core.masking",
    "MaskSampler": "core.masking",
    "JEPA": "core.model",
    "Predictor": "core.model",
    "vit": "core.model",
    "list_encoders": "encoders.registry",
    "load_encoder": "encoders.encoder",
    "TASKS": "data.ultrabench",
    "load_task": "data.tasks",
    "evaluate": "evaluation.evaluate",
    "embed": "evaluation.embed",
    "PretrainConfig": "settings",
    "ProbeConfig": "settings",
    "pretrain": "training.train",
}
__all__ = ["__version__", *PUBLIC]


def __getattr__(name):
    if name in PUBLIC: return getattr(importlib.import_module(f"usjepa.{PUBLIC[name]}"), name)
    raise AttributeError(f"module 'usjepa' has no attribute {name!r}: expected one of {', '.join(sorted(PUBLIC))}")


def __dir__():
    return sorted([*globals(), *PUBLIC])
