"""From a PyTorch module to a plain graph: exported, without no-ops, BatchNorm folded.

What is left is for `host.supported` to judge. Here only that is refused which would be lost in the
simplification.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from host.errors import LeptonError

aten = torch.ops.aten


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what torch and torchao warn and log about their own insides."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def capture(module: nn.Module, example: Tensor) -> GraphModule:
    """The simplified graph of ``module`` for batches shaped like ``example``.

    Every convolution and Linear has a weight of its own, even where the module shares one, so that
    later passes may change it.
    """
    try:
        with quiet():
            # The batch is static: `x.view(x.size(0), -1)` then has numbers, not symbols.
            graph = torch.export.export(module, (example,)).module(check_guards=False)
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        kind = type(module).__name__
        raise LeptonError(
            f"torch.export cannot trace {kind} on inputs of {tuple(example.shape)}: {reason}"
        ) from error
    assert isinstance(graph, GraphModule)
    _use_in_place_results(graph)
    _drop_no_ops(graph)
    _own_weights(graph)
    _fold_batch_norm(graph)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def arguments(node: Node) -> dict[str, Any]:
    """The arguments of an aten call by name, with the defaults filled in."""
    # Every node that is asked for is an aten call; its type also allows names and functions.
    schema = node.target._schema.arguments  # type: ignore[union-attr]
    given = dict(zip((argument.name for argument in schema), node.args, strict=False))
    defaults = {a.name: a.default_value for a in schema if a.has_default_value()}
    return defaults | given | node.kwargs


def shape_of(node: Node) -> tuple[int, ...]:
    """The shape of what ``node`` makes, with the batch."""
    return tuple(node.meta["val"].shape)


def layer_name(node: Node) -> str:
    """The name of the module that ``node`` comes from; for a functional call the node's own."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    # The second call of one module is exported as "name@1".
    path = path.partition("@")[0]
    kind = kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"
    is_layer = kind.startswith("torch.nn.modules.") and ".container." not in kind
    if is_layer and path:
        return path
    return f"{path}.{node.name}" if path else node.name


def tensor_of(graph: GraphModule, node: Node) -> Tensor:
    """The parameter, buffer or constant that a ``get_attr`` node names."""
    owner, _, attribute = str(node.target).rpartition(".")
    return getattr(graph.get_submodule(owner), attribute).detach()


def parameter(graph: GraphModule, node: Node | None, owner: Node, what: str) -> Tensor | None:
    """The value of an argument of ``owner`` that must be a constant; None stays None."""
    if node is None:
        return None
    if node.op != "get_attr":
        raise LeptonError(
            f"layer {layer_name(owner)!r}: its {what} is computed in forward(); make pruning and "
            "parametrizations permanent first (prune.remove, parametrize.remove_parametrizations)"
        )
    return tensor_of(graph, node)


def _use_in_place_results(graph: GraphModule) -> None:
    """Let what follows an in-place call (``F.relu_(x)``) read its result instead of ``x``."""
    for node in graph.graph.nodes:
        if node.op == "call_function" and str(node.target).partition(".")[2].endswith("_.default"):
            changed = node.args[0]
            changed.replace_all_uses_with(node, lambda user, node=node: user > node)


_COPIES = {
    aten.alias.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.detach_.default,
    aten.lift_fresh_copy.default,
}
_DROPOUTS = {
    aten.alpha_dropout.default,
    aten.alpha_dropout_.default,
    aten.dropout.default,
    aten.dropout_.default,
    aten.feature_alpha_dropout.default,
    aten.feature_dropout.default,
    aten.feature_dropout_.default,
}
RESHAPES = {
    aten.flatten.using_ints,
    aten.reshape.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.squeeze.dims,
    aten.view.default,
    aten.unflatten.int,
    aten.unsqueeze.default,
}
"""Calls that keep the values and their order, whatever the shape."""


def _drop_no_ops(graph: GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if node.target in _DROPOUTS and arguments(node)["train"]:
            raise LeptonError(
                f"layer {layer_name(node)!r} drops values in eval mode too; "
                "pass training=self.training to the functional call, or use nn.Dropout"
            )
        drops = node.target in _DROPOUTS | _COPIES
        if node.target in RESHAPES:
            drops = shape_of(node) == shape_of(node.args[0])
        if drops:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)


_WEIGHTED = {aten.conv2d.default, aten.conv2d.padding, aten.linear.default}


def _own_weights(graph: GraphModule) -> None:
    for node in graph.graph.nodes:
        if node.target in _WEIGHTED:
            given = arguments(node)
            weight = parameter(graph, given["weight"], node, "weight")
            bias = parameter(graph, given["bias"], node, "bias")
            assert weight is not None
            _set_weights(graph, node, weight, bias)


def _set_weights(graph: GraphModule, node: Node, weight: Tensor, bias: Tensor | None) -> None:
    """Give ``node`` new constants; without a bias it gets one of zeros."""
    bias = weight.new_zeros(len(weight)) if bias is None else bias
    for index, (what, value) in enumerate({"weight": weight, "bias": bias}.items(), start=1):
        if not value.isfinite().all():
            raise LeptonError(f"layer {layer_name(node)!r}: its {what} holds NaN or infinity")
        attribute = f"_lepton_{node.name}_{what}"
        setattr(graph, attribute, nn.Parameter(value.detach().clone(), requires_grad=False))
        with graph.graph.inserting_before(node):
            constant = graph.graph.get_attr(attribute)
        constant.meta["val"] = value.detach()
        node.args = (*node.args[:index], constant, *node.args[index + 1 :])


def _fold_batch_norm(graph: GraphModule) -> None:
    """Write each BatchNorm into the Conv2d or Linear before it, which must be there."""
    for node in list(graph.graph.nodes):
        if node.target is not aten.batch_norm.default:
            continue
        before = node.args[0]
        where = f"layer {layer_name(node)!r}: BatchNorm"
        if arguments(node)["training"]:
            raise LeptonError(f"{where} without running statistics; set track_running_stats=True")
        if before.target not in _WEIGHTED or len(before.users) > 1 or len(shape_of(node)) == 3:
            raise LeptonError(f"{where} must directly follow a Conv2d or Linear, to fold into it")
        _fold(graph, before, arguments(node))
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)


def _fold(graph: GraphModule, layer: Node, norm: dict[str, Any]) -> None:
    constants = {
        name: tensor_of(graph, norm[name]).double() if norm[name] is not None else None
        for name in ("weight", "bias", "running_mean", "running_var")
    }
    mean, variance = constants["running_mean"], constants["running_var"]
    assert mean is not None
    assert variance is not None
    gain = (variance + norm["eps"]).rsqrt()
    if constants["weight"] is not None:
        gain = gain * constants["weight"]
    # Arguments 1 and 2 of a convolution or linear are nodes; the type allows constants too.
    weight, bias = (tensor_of(graph, layer.args[i]) for i in (1, 2))  # type: ignore[arg-type]
    per_channel = (-1,) + (1,) * (weight.ndim - 1)
    new_bias = (bias.double() - mean) * gain
    if constants["bias"] is not None:
        new_bias = new_bias + constants["bias"]
    new_weight = weight.double() * gain.reshape(per_channel)
    _set_weights(graph, layer, new_weight.to(weight.dtype), new_bias.to(bias.dtype))
