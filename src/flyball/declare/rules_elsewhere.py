"""Rules on a model without `train=`: what it has to declare to be watched, and what it declares in vain."""

from __future__ import annotations

from collections.abc import Iterator

from flyball.declare.elsewhere import ANSWER, LATENCY, PREDICTION, SCORE, VERSION, classes, is_elsewhere, is_folder, label_declared
from flyball.declare.live import label_delay
from flyball.declare.model import Model
from flyball.declare.rules_columns import Found

_VAIN = (
    ("gates", "no version of it is made here, so none is judged"),
    ("suites", "no version of it is made here, so none is judged"),
    ("retrain", "nothing of it is trained here"),
    ("features", "views are looked up for what flyball serves; what they gave elsewhere is sent with the row"),
    ("transforms", "they are computed for what flyball serves; what they gave elsewhere is sent with the row"),
    ("fallback", "whoever serves it answers"),
    ("batch", "nobody here can score a row"),
    ("review", "its answers have been given by the time they come"),
)


def elsewhere_rules(model: Model) -> Iterator[Found]:
    """What a model that is served elsewhere cannot be watched without; nothing of any other."""
    if not is_elsewhere(model):
        return
    if is_folder(model):
        yield from _folder(model)


def _folder(model: Model) -> Iterator[Found]:
    """A data set that declares a column `prediction` is the predictions."""
    data, place = model.data, f'data set "{model.data.name}" has a column "{PREDICTION}", so it is the predictions'
    if model.task == "ranking":
        yield Found(f"{place}: of a ranking", "a folder has one row a prediction, and a ranking answers lists", "leave it out")
    if not data.id:
        yield Found(f"{place}, and names no id", "without ids a label that is filled in later is a new row", 'name the column: id="…"')
    if not data.time:
        yield Found(f"{place}, and names no time", "when it was predicted says which window it belongs to", 'name the column: time="…"')
    label, wanted = label_declared(model), {SCORE: ("float",), VERSION: ("str",), LATENCY: ("float", "int")}
    if label is not None:
        wanted[PREDICTION] = ("int", "float") if model.task in ("regression", "forecast") else (label.type,)
    for name, kinds in wanted.items():
        column = data.columns.get(name)
        if column is not None and column.type not in kinds:
            yield Found(f'column "{name}" of type {column.type}', f"it holds {_MEANING[name]}", f"declare it {' or '.join(kinds)}")
    if model.inputs is not None and (answered := [name for name in model.inputs if name in ANSWER and name in data.columns]):
        yield Found(f'input "{answered[0]}" is what was answered', "an input is known before", "leave it out of inputs")


_MEANING = {
    PREDICTION: "what was answered: what the label is",
    SCORE: "the probability of the second class",
    VERSION: "which version answered",
    LATENCY: "how long it took, in milliseconds",
}


def elsewhere_told(model: Model) -> tuple[str, ...]:
    """What a model that is served elsewhere gets, of itself; nothing of any other."""
    if not is_elsewhere(model):
        return ()
    came = f'data set "{model.data.name}"' if is_folder(model) else f"POST /models/{model.name}/predictions"
    watched = "it is watched, and nothing of it is trained, released or taken back here: whoever serves it mitigates its incidents there"
    return (f"it is served elsewhere: its predictions come by {came}, labels by their ids; {watched}",)


def elsewhere_doubts(model: Model) -> Iterator[Found]:
    """What a model that is served elsewhere declares in vain, or cannot be watched as it should be without."""
    if not is_elsewhere(model):
        return
    for argument, why in _VAIN:
        if getattr(model, argument):
            yield Found(f"{argument} of a model without train mean nothing", why, f"leave {argument} out, or declare train=fb.Train(fit)")
    if model.task == "ranking":
        yield Found("a ranking that is served elsewhere", "predictions of lists are not taken yet", "serve it here: train=fb.Train(fit)")
    elif model.task in ("binary", "multiclass") and not classes(model):
        column = label_declared(model)
        if column is not None:
            yield Found(
                f'label "{model.label_column}" does not say its classes',
                "answers and labels of other classes cannot be told from mistakes: none is taken",
                f'columns={{"{model.label_column}": fb.column({column.type}, one_of=(…))}}',
            )
    if not label_delay(model):
        yield Found(
            f'label "{model.label_column}" is known at once',
            "a prediction is judged at its time + known_after, on the label known by then",
            f'say how long labels take: columns={{"{model.label_column}": fb.column(…, known_after="30d")}}',
        )
