"""Small helpers on ONNX graphs: who makes a tensor, who reads it, what a weight holds."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

Array = npt.NDArray[Any]


class Graph:
    """A model with its tensors looked up by name; after nodes are added or removed call `index`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Take a model; it is changed in place."""
        self.model = model
        self.index()

    def index(self) -> None:
        """Read producers, consumers and weights anew."""
        graph = self.model.graph
        self.producer = {output: node for node in graph.node for output in node.output if output}
        self.consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                if name:
                    self.consumers[name].append(node)
        self.weights = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {output.name for output in graph.output}

    def weight(self, name: str) -> Array:
        """Return a weight's values."""
        return numpy_helper.to_array(self.weights[name])

    def is_constant(self, name: str) -> bool:
        """Return whether a tensor is a weight or the output of a Constant node."""
        return name in self.weights or (name in self.producer and self.producer[name].op_type == "Constant")

    def constant(self, name: str) -> Array:
        """Return the values of a weight or of a Constant node."""
        if name in self.weights:
            return self.weight(name)
        value = next(attribute for attribute in self.producer[name].attribute if attribute.name == "value")
        return numpy_helper.to_array(value.t)

    def add_weight(self, name: str, values: Array) -> str:
        """Add a weight, or put others in its place; return its name."""
        tensor = numpy_helper.from_array(np.ascontiguousarray(values), name)
        if name in self.weights:
            self.weights[name].CopyFrom(tensor)
        else:
            self.model.graph.initializer.append(tensor)
            self.weights[name] = self.model.graph.initializer[-1]
        return name

    def insert_before(self, reader: onnx.NodeProto, nodes: list[onnx.NodeProto]) -> None:
        """Put nodes in front of one, and look all names up anew."""
        position = next(i for i, node in enumerate(self.model.graph.node) if node is reader or node == reader)
        for offset, node in enumerate(nodes):
            self.model.graph.node.insert(position + offset, node)
        self.index()

    def remove_unused_weights(self) -> None:
        """Drop weights that no node reads."""
        kept = [tensor for tensor in self.model.graph.initializer if self.consumers.get(tensor.name)]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(kept)
        self.index()


def attribute(node: onnx.NodeProto, name: str, default: Any = None) -> Any:
    """Return an attribute's value."""
    for each in node.attribute:
        if each.name == name:
            return onnx.helper.get_attribute_value(each)
    return default
