"""For operations that Lepton does not run: what to write instead, where there is something."""

from typing import Any

SUPPORTED = (
    "supported: Conv2d, Linear, ReLU, ReLU6, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, Flatten, "
    "Dropout, Identity, and BatchNorm behind a Conv2d or Linear"
)

_ACTIVATION = "{} is not supported; use ReLU or ReLU6"
_LAST = (
    "{} is not supported; leave it out and apply it to the logits on the host "
    "(in the middle of a network, use ReLU or ReLU6)"
)
_BRANCH = "{} of tensors is not supported; Lepton runs a chain of layers, without branches"
_NORM = "{} is not supported; use BatchNorm behind a Conv2d or Linear"
_RECURRENT = "{} is not supported; Lepton runs feed-forward networks: Conv2d and Linear"

_HINTS = {
    **dict.fromkeys(("sigmoid", "tanh", "softmax", "log_softmax", "logsigmoid"), _LAST),
    **dict.fromkeys(
        ("gelu", "silu", "elu", "selu", "celu", "mish", "leaky_relu", "prelu", "rrelu", "softplus"),
        _ACTIVATION,
    ),
    **dict.fromkeys(("hardswish", "hardsigmoid", "softsign", "glu"), _ACTIVATION),
    **dict.fromkeys(("add", "sub", "mul", "div", "cat", "concat", "stack"), _BRANCH),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm", "rms_norm"), _NORM),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _RECURRENT),
    "adaptive_max_pool2d": "AdaptiveMaxPool2d is not supported; use MaxPool2d with fixed windows",
    "conv1d": "Conv1d is not supported; use Conv2d with a kernel of (1, k) on (N, C, 1, W)",
    "conv3d": "Conv3d is not supported; use Conv2d",
    "conv_transpose2d": "a transposed convolution is not supported; use Conv2d",
    "max_pool2d_with_indices": "return_indices=True is not supported; use return_indices=False",
    "mean": "mean is not supported; use nn.AdaptiveAvgPool2d(1) and nn.Flatten()",
    "pad": "padding other than Conv2d's own zeros is not supported; "
    "use padding=... with padding_mode='zeros'",
}


def hint(target: Any) -> str:
    """What is wrong with a call of ``target``, in half a sentence."""
    packet = getattr(target, "overloadpacket", target)
    operation = getattr(packet, "__name__", str(packet)).rstrip("_")
    return _HINTS.get(operation, "{} is not supported; " + SUPPORTED).format(operation)
