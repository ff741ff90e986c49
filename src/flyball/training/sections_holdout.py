"""Sections of a run's report that rest on the hold-out's rows and what the candidate answered to them."""

from __future__ import annotations

from flyball.declare.reads import made_from
from flyball.errors import BadInput
from flyball.evaluation import fairness, weak
from flyball.evaluation.mistakes import mistakes
from flyball.evaluation.thresholds import calibration, thresholds
from flyball.features.fields import declared_values, group_columns
from flyball.training.evaluating import Found, Section, Subject
from flyball.training.judging import amounts


def weak_slices(subject: Subject) -> Found:
    """Parts of the rows that are served clearly worse than the rest."""
    found = weak.weak_slices(subject.answers, subject.columns, subject.spec.seed)
    return Found({"weak_slices": found}, {"weak_slices": weak.counted(found)})


def groups(subject: Subject) -> Found:
    """How the groups of protected columns, and of those that a gate's gap names, are served beside each other."""
    model, made, told = subject.model, [], []
    names, declared_of = group_columns(model), declared_values(model)
    for name in names:
        declared = model.data.columns.get(name)
        try:
            protected = declared is not None and declared.protected
            found = fairness.groups(subject.answers, subject.frame[name], protected=protected, declared=declared_of.get(name, ()))
        except BadInput as error:
            told.append(f"{error.what}: {error.why}")
            continue
        made.append(found)
    hidden = [name for name, column in model.data.columns.items() if column.protected and name not in names and name != model.label_column]
    told += [f'the groups of "{name}" are not told: it says who a row is of' for name in hidden]
    if told and not made:
        raise BadInput("; ".join(told))
    return Found({"groups": tuple(made)})


def scores(subject: Subject) -> Found:
    """Do scores mean what they say, and what would another threshold do? Of binary models."""
    if subject.model.task != "binary":
        return Found()
    found = subject.answers
    return Found({"calibration": calibration(found), "thresholds": thresholds(found, amounts(subject.model))})


def errors(subject: Subject) -> Found:
    """Where answers are wrong."""
    model = subject.model
    if model.task == "ranking":
        return Found()
    persons = next((data.name for data in made_from(model).values() if data.subject), "")
    found = mistakes(
        subject.answers,
        subject.frame,
        subject.row_columns,
        classes=subject.candidate.signature.classes,
        slices=[name for name in model.slice_names if name in subject.frame.columns],
        private=f'rows of persons are not kept (data set "{persons}" has a subject)' if persons else "",
    )
    return Found({"mistakes": found})


SECTIONS = (
    Section("weak_slices", ("weak_slices",), weak_slices),
    Section("groups", (), groups),
    Section("scores", (), scores),
    Section("mistakes", (), errors),
)
