"""What may be changed in a line: cosmic-ray's operators that make likely mistakes, and some of our own.

The law of this module: an operator changes one place of a syntax tree and nothing else; words (texts, docstrings,
annotations) are never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from cosmic_ray.plugins import get_operator
from parso.tree import NodeOrLeaf

# Of cosmic-ray's two hundred the ones whose result a programmer may have written. `a + b` that becomes `a >> b` fails
# in the first test that comes along and says nothing of the tests.
CHOSEN = (
    *("AddNot", "NumberReplacer", "ExceptionReplacer", "ZeroIterationForLoop"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    *("ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_USub_UAdd"),
    *(
        f"ReplaceComparisonOperator_{pair}"
        for pair in (
            *("Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt"),  # off by one
            *("Lt_GtE", "LtE_Gt", "Gt_LtE", "GtE_Lt"),  # the opposite
            *("Eq_NotEq", "NotEq_Eq", "Is_IsNot", "IsNot_Is"),
        )
    ),
    *(
        f"ReplaceBinaryOperator_{pair}"
        for pair in (
            *("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul"),
            *("BitOr_BitAnd", "BitAnd_BitOr"),
        )
    ),
)


class Operator(NamedTuple):
    """In how many ways a node can be changed, and one of these changes; None: the node was changed where it stands."""

    count: Callable[[NodeOrLeaf], int]
    apply: Callable[[NodeOrLeaf, int], NodeOrLeaf | None]


def _theirs(name: str) -> Operator:
    operator = get_operator(f"core/{name}")()
    return Operator(lambda node: len(list(operator.mutation_positions(node))), operator.mutate)


# --- ours: mistakes that cosmic-ray does not make ---------------------------------------------------------------------


def _operands(node: NodeOrLeaf) -> int:
    return (len(node.children) + 1) // 2 if node.type in {"and_test", "or_test"} else 0


def _drop_operand(node: NodeOrLeaf, index: int) -> None:
    start = max(0, 2 * index - 1)
    del node.children[start : start + 2]


SWAPS = {"min": "max", "max": "min", "any": "all", "all": "any", "preferred": "lenient", "lenient": "preferred"}


def _swappable(node: NodeOrLeaf) -> int:
    # The name of an argument or an attribute that is being defined is no use of it.
    used = node.type == "name" and node.value in SWAPS and not node.is_definition()
    return int(used and not (node.parent.type == "argument" and node.parent.children[0] is node))


def _swap(node: NodeOrLeaf, _: int) -> None:
    node.value = SWAPS[node.value]


def _membership(node: NodeOrLeaf) -> int:
    return int(node.type == "comparison" and node.children[1].get_code().split() in (["in"], ["not", "in"]))


def _turn_membership(node: NodeOrLeaf, _: int) -> None:
    word = node.children[1]
    if word.type == "comp_op":  # `not in`
        word.children = [leaf for leaf in word.children if leaf.value == "in"]
        word.children[0].prefix = " "
    else:
        word.value = "not in"


def _elements(node: NodeOrLeaf) -> int:
    if node.type not in {"testlist_comp", "dictorsetmaker"}:
        return 0
    leaves = {getattr(one, "value", "") for one in node.children}
    # A mapping's entries are more than one node each, and most of them are words.
    return (len(node.children) + 1) // 2 if "," in leaves and ":" not in leaves else 0


def _drop_element(node: NodeOrLeaf, index: int) -> None:
    # The comma behind the last one stays: a tuple of one is a tuple by its comma alone.
    comma = node.children[1]
    del node.children[2 * index : 2 * index + 2]
    if len(node.children) == 1:
        node.children.append(comma)


def _filters(node: NodeOrLeaf) -> int:
    return int(node.type == "comp_if")


def _drop_filter(node: NodeOrLeaf, _: int) -> None:
    for leaf in list(node.children[1:]):
        node.children.remove(leaf)
    node.children[0].value = ""


OPERATORS: Mapping[str, Operator] = {
    **{name: _theirs(name) for name in CHOSEN},
    "DropOperand": Operator(_operands, _drop_operand),
    "SwapName": Operator(_swappable, _swap),
    "TurnMembership": Operator(_membership, _turn_membership),
    "DropElement": Operator(_elements, _drop_element),
    "DropFilter": Operator(_filters, _drop_filter),
}
