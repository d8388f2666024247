import itertools
from dataclasses import dataclass

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hookloop.errors import ConfigError
from hookloop.ordering import sort_plugins


@dataclass(frozen=True)
class Item:
    instance: str
    name: str = ""
    builtin: bool = False
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def order_of(items, order=()):
    return [each.instance for each in sort_plugins(items, order)]


def test_plugins_stand_by_name():
    assert order_of([Item("csv"), Item("best"), Item("monitor")]) == ["best", "csv", "monitor"]


def test_built_ins_stand_first_and_as_given():
    items = [Item("a"), Item("z", builtin=True), Item("b", builtin=True)]
    assert order_of(items, order=["a", "b"]) == ["z", "b", "a"]


def test_listed_plugins_stand_before_the_rest_and_as_listed():
    items = [Item("a"), Item("lr-finder"), Item("c")]
    assert order_of(items, order=["c", "absent", "LR_Finder"]) == ["c", "lr-finder", "a"]


def test_a_listed_plugin_brings_all_of_its_instances():
    items = [Item("a"), Item("best", "checkpoint"), Item("checkpoint", "checkpoint")]
    assert order_of(items, order=["checkpoint"]) == ["best", "checkpoint", "a"]


def test_an_instance_that_is_listed_itself_stands_there():
    items = [Item("a", "checkpoint"), Item("checkpoint", "checkpoint")]
    assert order_of(items, order=["checkpoint", "a"]) == ["checkpoint", "a"]


def test_a_plugin_comes_after_what_it_names_and_the_others_stay():
    items = [Item("a", after=("d",)), Item("b"), Item("c"), Item("d"), Item("e")]
    assert order_of(items) == ["b", "c", "d", "a", "e"]


def test_a_plugin_comes_before_what_it_names():
    assert order_of([Item("a"), Item("b"), Item("z", before=("B",))]) == ["a", "z", "b"]


def test_a_wish_about_a_plugin_is_about_all_of_its_instances():
    items = [Item("a", after=("checkpoint",)), Item("best", "checkpoint"), Item("checkpoint", "checkpoint")]
    assert order_of(items) == ["best", "checkpoint", "a"]


def test_an_instance_may_stand_after_another_of_the_same_plugin():
    items = [Item("best", "checkpoint", after=("checkpoint",)), Item("checkpoint", "checkpoint")]
    assert order_of(items) == ["checkpoint", "best"]


def test_a_class_that_names_its_own_plugin_asks_for_nothing():
    wish = ("checkpoint",)
    items = [Item("one", "checkpoint", after=wish), Item("two", "checkpoint", after=wish)]
    assert order_of(items) == ["one", "two"]


def test_an_absent_name_is_ignored():
    assert order_of([Item("a", after=("absent",), before=("a", "none"))]) == ["a"]


def test_a_cycle_is_an_error_that_prints_it():
    items = [Item("a", after=("b",)), Item("b", after=("c",)), Item("c", after=("a",)), Item("d")]
    with pytest.raises(ConfigError) as caught:
        sort_plugins(items)
    assert "'a' before 'c' before 'b' before 'a'" in str(caught.value)
    assert "'d'" not in str(caught.value)


names = st.sampled_from("abcdef")


@st.composite
def plugin_sets(draw):
    wishes = st.lists(st.sampled_from("abcdefxyz"), max_size=2).map(tuple)
    chosen = draw(st.lists(names, unique=True))
    plugins = st.sampled_from("xyz")
    return [Item(name, draw(plugins), before=draw(wishes), after=draw(wishes)) for name in chosen]


def meant(item, name, other):
    return other is not item and (name == other.instance or (name == other.name != item.name))


@given(plugin_sets(), st.lists(names, unique=True), st.randoms())
def test_wishes_hold_and_the_order_of_the_input_does_not_matter(items, order, random):
    try:
        result = sort_plugins(items, order)
    except ConfigError:
        assume(False)
    position = {id(each): index for index, each in enumerate(result)}
    for item, other in itertools.permutations(items, 2):
        if any(meant(item, name, other) for name in item.after):
            assert position[id(other)] < position[id(item)]
        if any(meant(item, name, other) for name in item.before):
            assert position[id(item)] < position[id(other)]
    shuffled = list(items)
    random.shuffle(shuffled)
    assert sort_plugins(shuffled, order) == result


@given(plugin_sets(), st.randoms())
def test_a_contradiction_is_found_and_told_alike_in_any_order_of_the_input(items, random):
    shuffled = list(items)
    random.shuffle(shuffled)
    outcomes = []
    for given_items in (items, shuffled):
        try:
            outcomes.append(order_of(given_items))
        except ConfigError as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@given(st.lists(names, unique=True), st.lists(names, unique=True))
def test_without_wishes_it_is_the_listed_ones_and_then_by_name(chosen, order):
    rest = sorted(name for name in chosen if name not in order)
    assert order_of([Item(name) for name in chosen], order) == [name for name in order if name in chosen] + rest
