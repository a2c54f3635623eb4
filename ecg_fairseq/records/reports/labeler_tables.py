"""The labeler's tables: entities, descriptors, and the phrases that mean them.

A folder in ECG-FM's published layout (fact sheet ecg-fm 6), JSON lists of objects. Needed are
``entity_tem`` (entities, and the more general ones above them) and ``entity_pat`` (phrases of
entities); ``desc_tem``, ``desc_pat``, ``connective``, ``compound_tem``, ``attached_desc_tem``,
``traveling_desc_tem``, ``split_desc_tem`` and ``uncertainty_map`` may be absent, and so may
``replacements`` (ours: a list of pairs, a word and what stands for it).
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import LabelerError

OWN_TABLES = Path(__file__).parent / "tables"
# table -> (columns that must be there, columns that may be)
_COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "entity_tem": (("name",), ("sup", "aka", "require_descriptors", "tags", "feature", "hallmark")),
    "entity_pat": (("pattern", "entities"), ()),
    "desc_tem": (("name",), ("category", "tags", "create_entities", "patterns")),
    "desc_pat": (("pattern", "descriptors"), ("before_after", "parse_before_entities")),
    "split_desc_tem": (("name", "split"), ()),
    "connective": (("pattern",), ("descriptors", "tags")),
    "compound_tem": (("entity", "including"), ("excluding",)),
    "attached_desc_tem": (("resulting_entity", "entity", "descriptor"), ()),
    "traveling_desc_tem": (("entity", "descriptors"), ()),
}
_NEEDED = ("entity_tem", "entity_pat")
Row = dict[str, Any]


@dataclass(frozen=True)
class Mention:
    """An entity with descriptors."""

    entity: str
    descriptors: tuple[str, ...] = ()


@dataclass(frozen=True)
class EntityPhrase:
    """What a phrase of entities means; nothing at all, for phrases that are passed over."""

    mentions: tuple[Mention, ...]


@dataclass(frozen=True)
class DescriptorPhrase:
    """Descriptors of the next entity, or of the last one (``is_after``)."""

    descriptors: tuple[str, ...]
    is_after: bool


@dataclass(frozen=True)
class ConnectivePhrase:
    """Descriptors of the entities on both sides."""

    before: tuple[str, ...]
    after: tuple[str, ...]


Phrase = EntityPhrase | DescriptorPhrase | ConnectivePhrase


@dataclass(frozen=True)
class Compound:
    """An entity that is there when others are."""

    entity: str
    including: tuple[Mention, ...]
    excluding: tuple[Mention, ...]


@dataclass(frozen=True)
class LabelerTables:
    """Everything that the labeler knows.

    Attributes:
        above: entity -> the more general entities right above it.
        needs_descriptor: entities that are no label by themselves.
        phrases: four batches of phrase -> meaning, in the order of their rank.
        creates: descriptor -> entities that it brings with it.
        compounds: entities that follow from others.
        attached: (entity, descriptor, resulting entity).
        traveling: (entity, descriptors that go up from it and from what is below it).
        certainty: descriptor -> probability of what it describes.
        replacements: (word, what stands for it).
    """

    above: Mapping[str, tuple[str, ...]]
    needs_descriptor: frozenset[str]
    phrases: tuple[Mapping[str, Phrase], ...]
    creates: Mapping[str, tuple[str, ...]]
    compounds: tuple[Compound, ...]
    attached: tuple[tuple[str, str, str], ...]
    traveling: tuple[tuple[str, frozenset[str]], ...]
    certainty: Mapping[str, float]
    replacements: tuple[tuple[str, str], ...]


def read_labeler_tables(folder: Path) -> LabelerTables:
    """Read and check a folder of tables.

    Raises:
        LabelerError: a table is missing, damaged, has unknown columns, names what no table defines,
            has a phrase twice or an empty one, or the entities stand above each other in a circle.
    """
    rows = {name: _read_rows(folder, name) for name in _COLUMNS}
    known = _Known(folder, rows)
    above = {row["name"]: tuple(_texts(row.get("sup"))) for row in rows["entity_tem"]}
    for name, members in above.items():
        known.entities(members, f"sup of {name!r}")
    _refuse_circles(above, folder)
    creates = {row["name"]: tuple(_texts(row.get("create_entities"))) for row in rows["desc_tem"]}
    for name, members in creates.items():
        known.entities(members, f"create_entities of {name!r}")
    tables = LabelerTables(
        above=above,
        needs_descriptor=frozenset(
            row["name"] for row in rows["entity_tem"] if row.get("require_descriptors")
        ),
        phrases=_phrases(known, rows),
        creates={name: members for name, members in creates.items() if members},
        compounds=tuple(
            Compound(
                known.entity(row["entity"], "compound_tem"),
                tuple(known.mention(item, "compound_tem") for item in _items(row["including"])),
                tuple(
                    known.mention(item, "compound_tem")
                    for item in _items(row.get("excluding") or [])
                ),
            )
            for row in rows["compound_tem"]
        ),
        attached=tuple(
            (
                known.entity(row["entity"], "attached_desc_tem"),
                known.descriptor(row["descriptor"], "attached_desc_tem"),
                known.entity(row["resulting_entity"], "attached_desc_tem"),
            )
            for row in rows["attached_desc_tem"]
        ),
        traveling=tuple(
            (
                known.entity(row["entity"], "traveling_desc_tem"),
                frozenset(known.descriptors(_items(row["descriptors"]), "traveling_desc_tem")),
            )
            for row in rows["traveling_desc_tem"]
        ),
        certainty=_certainty(folder),
        replacements=_replacements(folder),
    )
    return tables


def _phrases(known: "_Known", rows: Mapping[str, list[Row]]) -> tuple[dict[str, Phrase], ...]:
    early: dict[str, Phrase] = {}
    late: dict[str, Phrase] = {}
    entities: dict[str, Phrase] = {}
    connectives: dict[str, Phrase] = {}
    for row in rows["entity_pat"]:
        where = f"entity_pat {row['pattern']!r}"
        mentions = tuple(known.mention(item, where) for item in _items(row["entities"]))
        known.add(entities, row["pattern"], EntityPhrase(mentions))
    for row in rows["desc_pat"]:
        where = f"desc_pat {row['pattern']!r}"
        side = row.get("before_after") or "b"
        if side not in ("a", "b"):
            raise known.error(f"{where}: before_after is {side!r}; expected 'b' or 'a'")
        described = known.descriptors(_items(row["descriptors"]), where)
        target = early if row.get("parse_before_entities") else late
        known.add(target, row["pattern"], DescriptorPhrase(described, side == "a"))
    for row in rows["desc_tem"]:
        for text in _texts(row.get("patterns")):
            known.add(late, text, DescriptorPhrase((row["name"],), False))
    for row in rows["connective"]:
        where = f"connective {row['pattern']!r}"
        sides = row.get("descriptors") or [[], []]
        if not isinstance(sides, list) or len(sides) != 2:
            raise known.error(f"{where}: expected two lists of descriptors, left and right")
        before, after = (known.descriptors(_items(side or []), where) for side in sides)
        known.add(connectives, row["pattern"], ConnectivePhrase(before, after))
    return early, entities, late, connectives


class _Known:
    """Names that the tables define, and errors about those that they do not."""

    def __init__(self, folder: Path, rows: Mapping[str, list[Row]]) -> None:
        self.folder = folder
        self._entities = self._names(rows["entity_tem"], "entity_tem")
        self._descriptors = self._names(rows["desc_tem"], "desc_tem")
        self._phrases: set[str] = set()
        self._split = {
            row["name"]: self._checked(
                _texts(row["split"]), self._descriptors, "descriptor", "split_desc_tem"
            )
            for row in rows["split_desc_tem"]
        }

    def error(self, text: str) -> LabelerError:
        return LabelerError(f"labeler tables {self.folder}: {text}")

    def _names(self, rows: Iterable[Row], table: str) -> set[str]:
        names: set[str] = set()
        for row in rows:
            if row["name"] in names:
                raise self.error(f"{table} defines {row['name']!r} twice; keep one of them")
            names.add(row["name"])
        return names

    def _checked(
        self, names: Sequence[str], known: set[str], what: str, where: str
    ) -> tuple[str, ...]:
        for name in names:
            if name not in known:
                raise self.error(
                    f"{where} names the {what} {name!r}, which is in no table; define or remove it"
                )
        return tuple(names)

    def entities(self, names: Sequence[str], where: str) -> tuple[str, ...]:
        return self._checked(names, self._entities, "entity", where)

    def entity(self, name: Any, where: str) -> str:
        return self.entities(_texts(name), where)[0]

    def descriptor(self, name: Any, where: str) -> str:
        return self._checked(_texts(name), self._descriptors, "descriptor", where)[0]

    def descriptors(self, items: Sequence[Any], where: str) -> tuple[str, ...]:
        """Return descriptors by name; a descriptor's own descriptors are not used, as published."""
        names: list[str] = []
        for item in items:
            name = item.get("tem") if isinstance(item, dict) else item
            if not isinstance(name, str):
                raise self.error(f"{where}: {item!r} is no descriptor; expected a name or a tem")
            names += self._split.get(name, [name])
        return self._checked(names, self._descriptors, "descriptor", where)

    def mention(self, item: Any, where: str) -> Mention:
        if isinstance(item, str):
            return Mention(self.entity(item, where))
        if not isinstance(item, dict) or "tem" not in item or set(item) - {"tem", "descriptors"}:
            raise self.error(
                f"{where}: {item!r} is no entity; expected a name, or tem, descriptors"
            )
        described = self.descriptors(_items(item.get("descriptors") or []), where)
        return Mention(self.entity(item["tem"], where), described)

    def add(self, batch: dict[str, Phrase], text: Any, phrase: Phrase) -> None:
        """Keep a phrase; refuse an empty one and one that has a meaning already."""
        if not isinstance(text, str) or not text.strip():
            raise self.error(f"the pattern {text!r} is empty and would match every text; remove it")
        if text in self._phrases:
            raise self.error(f"the pattern {text!r} stands twice; keep one of them")
        self._phrases.add(text)
        batch[text] = phrase


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _texts(value: Any) -> list[str]:
    if value is None:
        return []
    found = _items(value)
    if not all(isinstance(item, str) for item in found):
        raise LabelerError(f"labeler tables: {value!r} is no name and no list of names")
    return found


def _read_json(folder: Path, name: str) -> Any:
    path = folder / f"{name}.json"
    if not path.is_file():
        if name in _NEEDED:
            raise LabelerError(
                f"{path} not found; the labeler's tables are JSON files in ECG-FM's layout, of "
                f"which {' and '.join(_NEEDED)} are needed"
            )
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise LabelerError(f"{path} is not UTF-8: {error}; save it with that encoding") from error
    except (OSError, ValueError, RecursionError) as error:
        raise LabelerError(f"{path} cannot be read as JSON: {error}; copy it again") from error


def _read_rows(folder: Path, name: str) -> list[Row]:
    rows = _read_json(folder, name)
    needed, allowed = _COLUMNS[name]
    if rows is None:
        return []
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise LabelerError(f"{folder / name}.json: expected a list of objects")
    for number, row in enumerate(rows):
        unknown = sorted(set(row) - {*needed, *allowed})
        missing = [column for column in needed if column not in row]
        if unknown or missing:
            what = f"the unknown column {unknown[0]!r}" if unknown else f"no column {missing[0]!r}"
            raise LabelerError(
                f"{folder / name}.json entry {number} has {what}; known are "
                f"{', '.join((*needed, *allowed))}"
            )
        if "name" in row and (not isinstance(row["name"], str) or not row["name"].strip()):
            raise LabelerError(f"{folder / name}.json entry {number}: the name is empty")
    return rows


def _certainty(folder: Path) -> dict[str, float]:
    table = _read_json(folder, "uncertainty_map") or {}
    is_good = isinstance(table, dict) and all(
        isinstance(value, int | float) and 0 <= value <= 1 for value in table.values()
    )
    if not is_good:
        raise LabelerError(
            f"{folder / 'uncertainty_map'}.json: expected descriptors with numbers from 0 to 1"
        )
    return {name: float(value) for name, value in table.items()}


def _replacements(folder: Path) -> tuple[tuple[str, str], ...]:
    table = _read_json(folder, "replacements") or []
    is_good = isinstance(table, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(isinstance(text, str) for text in pair)
        and pair[0].strip()
        for pair in table
    )
    if not is_good:
        raise LabelerError(
            f"{folder / 'replacements'}.json: expected a list of pairs, a word and what stands for "
            "it; no word may be empty"
        )
    return tuple((word, text) for word, text in table)


def _refuse_circles(above: Mapping[str, tuple[str, ...]], folder: Path) -> None:
    done: set[str] = set()
    for start in above:
        path: list[str] = []
        stack = [(start, iter(above[start]))] if start not in done else []
        path += [start] if stack else []
        while stack:
            name, members = stack[-1]
            following = next(members, None)
            if following is None:
                stack.pop()
                path.pop()
                done.add(name)
            elif following in path:
                circle = " > ".join([*path[path.index(following) :], following])
                raise LabelerError(
                    f"labeler tables {folder}: the entities {circle} stand above each other in a "
                    "circle; remove one sup from entity_tem"
                )
            elif following not in done:
                stack.append((following, iter(above[following])))
                path.append(following)
