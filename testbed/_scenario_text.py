"""Words for scripts: from Faker's locales and from our own corpus, chosen by two small integers.

The law of this module: the same specification, style, seed and versions give the same words; style 0 is the simplest.
Faker is slow to import and slow to build, so both happen once, when a word of it is first wanted.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence

from testbed._scenario_spec import Texts
from testbed.corpus import CORPUS, GROUPS, PLAIN
from testbed.errors import UsageError, unknown_name

# Enough words for variety; making them costs milliseconds once a locale, a fresh one for each token would cost that
# each time.
_POOL = 240
_PROVIDERS = ("word", "name", "city", "company")
_MIXED = "mixed"


def styles(texts: Texts) -> tuple[str, ...]:
    """The names of the styles that a text can be drawn in, simplest first.

    The last is a mix of all, where there are several.
    """
    everything = (*(texts.corpus or GROUPS), *texts.faker)
    return (*everything, _MIXED) if len(everything) > 1 else everything


def words(texts: Texts, *, style: int, seed: int, count: int) -> tuple[str, ...]:
    """`count` tokens in style number `style`; with seed 0 they are the style's words in their order."""
    known = styles(texts)
    pools = [_pool(name) for name in (known[:-1] if known[style] == _MIXED else (known[style],))]
    if len(pools) == 1:
        return _from_one(pools[0], seed, count)
    rng = random.Random(seed)
    return tuple(_word(rng.choice(pools), rng.randrange(_POOL), index) for index in range(count))


def _from_one(pool: Sequence[str], seed: int, count: int) -> tuple[str, ...]:
    if seed == 0:
        return tuple(_word(pool, index, index) for index in range(count))
    rng = random.Random(seed)
    return tuple(_word(pool, rng.randrange(_POOL), index) for index in range(count))


def _word(pool: Sequence[str], chosen: int, index: int) -> str:
    # The empty pool stands for numbered words, which no list can hold.
    return pool[chosen % len(pool)] if pool else f"w{index} "


@functools.cache
def _pool(name: str) -> tuple[str, ...]:
    if name == PLAIN:
        return ()
    return CORPUS[name] if name in CORPUS else _faker_words(name)


def _faker_words(locale: str) -> tuple[str, ...]:
    import faker  # noqa: PLC0415 - half a second, paid only by those who draw such text
    from faker.config import AVAILABLE_LOCALES  # noqa: PLC0415

    if locale not in AVAILABLE_LOCALES:
        # Faker names some locales only in its own way; its list is the truth.
        raise unknown_name("Faker locale", locale, AVAILABLE_LOCALES)
    source = faker.Faker(locale)
    source.seed_instance(0)
    drawn = [str(getattr(source, _PROVIDERS[index % len(_PROVIDERS)])()) for index in range(_POOL)]
    clean = tuple(f"{word} " for word in (" ".join(entry.split()) for entry in drawn) if word)
    if not clean:
        raise UsageError(f"the Faker locale {locale!r} writes no words")
    return clean
