# Copyright 2026 The mmllm_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Answers to questions about the robot itself, from its own state and not from the language model: one or two plain sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..context.question_classifier import QuestionClass
from ..datatypes import Answer, BadInput, Health, Plan
from ..rig import Rig

SURE, UNSURE = 0.8, 0.5
"""From SURE on the answer to "are you sure?" is yes, below UNSURE it is no."""

_SEEING = {"camera", "lidar", "objects"}
"""Modalities that show what is around the robot."""
_OTHERS = {"imu": "how I move", "audio": "what I hear", "depth": "how far things are", "array": "how close things are"}
"""What other modalities tell."""
_NAMES = {
    "camera": "camera",
    "lidar": "lidar",
    "imu": "IMU",
    "radar": "radar",
    "gps": "GPS receiver",
    "audio": "microphone",
    "objects": "perception stack",
}


@dataclass(frozen=True, slots=True)
class RobotState:
    """What a robot knows about itself at the moment of a question.

    `health` holds the newest message of each sensor, `plan` the plan in force or None, `last` the answer before this question
    or None. `calibrated_on` says in words on what confidences were calibrated, empty where they were not. `rig` may be None where
    only the health messages tell which sensors there are.
    """

    rig: Rig | None = None
    health: Sequence[Health] = ()
    plan: Plan | None = None
    last: Answer | None = None
    calibrated_on: str = ""


def report(reading: QuestionClass, state: RobotState) -> str:
    """The answer to a question of type "self". Raises BadInput for a topic that has no answer here."""
    if reading.topic not in _REPORTS:
        raise BadInput(f"topic {reading.topic!r} is not one of {list(_REPORTS)}")
    return _REPORTS[reading.topic](reading.sensor, state)


REFUSAL = "I cannot tell"
"""How every refusal begins."""


def cannot_tell(modalities: Sequence[str]) -> str:
    """What is said instead of "cannot tell": why, and what could be asked of the modalities that are there."""
    if not modalities:
        return f"{REFUSAL} that: no sensor is connected."
    offers = ["colours and traffic lights"] if "camera" in modalities else []
    if not _SEEING.isdisjoint(modalities):
        offers = ["what is around me, where and how far", *offers]
    offers += [offer for modality, offer in _OTHERS.items() if modality in modalities]
    return f"{REFUSAL} that from my sensors." + (f" You can ask me about {_listed(offers)}." if offers else "")


def sensors_of(state: RobotState) -> dict[str, list[str]]:
    """The names of the sensors by modality: those of the rig, and those that sent health messages."""
    found: dict[str, list[str]] = {}
    if state.rig is not None:
        if state.rig.cameras:
            found["camera"] = [mount.name for mount in state.rig.cameras]
        found |= {
            name: [name]
            for name, mount in (("lidar", state.rig.lidar), ("imu", state.rig.imu), ("objects", state.rig.objects))
            if mount is not None
        }
        for mount in state.rig.signals:
            found.setdefault(mount.modality, []).append(mount.name)
    for message in state.health:
        known = found.setdefault(message.modality, [])
        # A single lidar or IMU may go by another source name in its messages.
        if message.source not in known and (state.rig is None or not known):
            known.append(message.source)
    return found


def _abilities(sensor: str, state: RobotState) -> str:
    there = sensors_of(state)
    parts = []
    if not _SEEING.isdisjoint(there):
        parts += ["what is around me", "where and how far it is", "how many there are", "whether they move"]
    if "camera" in there:
        parts += ["colours, traffic lights and the weather"]
    parts += [offer for modality, offer in _OTHERS.items() if modality in there]
    if not parts and there:
        return f"I answer questions about what my sensors show. {_have(there)}"
    if not parts:
        return "I answer questions about what my sensors show, but I know of no sensor at this moment."
    first = f"I can tell you {_listed(parts)}, and which of my sensors an answer rests on."
    return f"{first} I cannot tell names, owners, prices or the future."


def _sensors(sensor: str, state: RobotState) -> str:
    there = sensors_of(state)
    if sensor and sensor not in there:
        return f"No, I have no {_name(sensor)}. {_have(there)}"
    if sensor:
        return f"Yes, I have {_counted(sensor, there[sensor])}."
    return _have(there)


def _have(there: dict[str, list[str]]) -> str:
    if not there:
        return "I know of no sensor at this moment."
    return f"I have {_listed([_counted(modality, names) for modality, names in there.items()])}."


def _sensor_state(sensor: str, state: RobotState) -> str:
    there = sensors_of(state)
    if sensor and sensor not in there:
        return f"I have no {_name(sensor)}."
    asked = [sensor] if sensor else list(there)
    silent = [modality for modality in asked if not any(message.modality == modality for message in state.health)]
    messages = [message for message in state.health if message.modality in asked]
    faulty = [message for message in messages if not message.healthy]
    parts = [f"The {_label(message)} is not in order: {message.reason or 'no reason is known'}." for message in faulty]
    if len(faulty) + bool(silent) > 2:
        named = [f"{_label(message)} ({message.reason or 'no reason is known'})" for message in faulty]
        parts = [f"{len(faulty)} of my sensors are not in order: {_listed(named)}."]
    if silent:
        parts.append(f"I have received nothing from my {_listed([_name(modality) for modality in silent])}.")
    if parts:
        return " ".join(parts)
    if not messages:
        return "I know of no sensor at this moment."
    if not sensor:
        return f"All my sensors are working: {_listed([_name(modality) for modality in asked])}."
    rate, age = min(message.rate for message in messages), max(message.age for message in messages)
    subject = f"all {len(messages)} {_name(sensor)}s work" if len(messages) > 1 else f"the {_name(sensor)} works"
    return f"{subject[0].upper()}{subject[1:]}, at {rate:.3g} Hz; the newest data is {age:.1f} s old."


def _why_not_used(sensor: str, state: RobotState) -> str:
    there = sensors_of(state)
    if sensor and sensor not in there and (state.plan is None or sensor not in state.plan.plugged):
        return f"I have no {_name(sensor)}."
    if state.plan is None:
        return "There is no plan yet, so I use every sensor that sends data."
    if sensor and state.plan.plugged.get(sensor, True):
        if state.last is not None and sensor in state.last.unplugged:
            return f"I did not use the {_name(sensor)} for the last answer: {state.last.unplugged[sensor]}."
        return f"I do use the {_name(sensor)}: {state.plan.reasons.get(sensor) or 'the plan connects it'}."
    asked = [sensor] if sensor else [modality for modality, plugged in state.plan.plugged.items() if not plugged]
    if not asked:
        return "I use all my sensors."
    return " ".join(f"I do not use the {_name(modality)}: {_reason(modality, state)}." for modality in asked[:2])


def _reason(modality: str, state: RobotState) -> str:
    reasons = [message.reason for message in state.health if message.modality == modality and not message.healthy]
    planned = state.plan.reasons.get(modality) if state.plan else ""
    return planned or next((reason for reason in reasons if reason), "no reason is known")


def _in_use(sensor: str, state: RobotState) -> str:
    there = sensors_of(state)
    if sensor and sensor not in there:
        return f"No, I have no {_name(sensor)}."
    plugged = state.plan.plugged if state.plan else dict.fromkeys(there, True)
    if sensor:
        if plugged.get(sensor, True):
            return f"Yes, I am using the {_name(sensor)}."
        return f"No, I am not using the {_name(sensor)}: {_reason(sensor, state)}."
    used = [_name(modality) for modality, on in plugged.items() if on]
    unused = [_name(modality) for modality, on in plugged.items() if not on]
    first = f"I am using my {_listed(used)}." if used else "I am using no sensor."
    return f"{first} I am not using my {_listed(unused)}." if unused else first


def _confidence(sensor: str, state: RobotState) -> str:
    last = state.last
    if last is None:
        return "I have not answered anything yet."
    word = (
        "Yes, I am quite sure"
        if last.confidence >= SURE
        else "Not entirely"
        if last.confidence >= UNSURE
        else "No, I am not sure"
    )
    percent = f"{100 * last.confidence:.0f} %"
    first = f'{word}: my confidence in "{last.answer}" is {percent}.'
    if not last.evidence:
        return f"{first} No sensor was connected for that answer."
    if not state.calibrated_on:
        return f"{first} It has not been calibrated for this model."
    return f"{first} It is calibrated on {state.calibrated_on}: of answers given with this confidence, about {percent} are right."


def _evidence(sensor: str, state: RobotState) -> str:
    last = state.last
    if last is None:
        return "I have not answered anything yet."
    if not last.evidence:
        return f'"{last.answer}" rests on no sensor: it is what the language model guesses from the words of the question.'
    newest: dict[str, list] = {}
    for item in last.evidence:
        newest.setdefault(item.modality, []).append(item)
    parts = [
        f"{_counted(modality, [item.source for item in items])}, {_age(min(items, key=lambda item: abs(item.age)).age)}"
        for modality, items in newest.items()
    ]
    first = f'"{last.answer}" rests on data from {_listed(parts)}.'
    unused = [(name, reason) for name, reason in last.unplugged.items() if "/" not in name]
    if not unused:
        return first
    return f"{first} Not used: {_listed([f'{_name(name)} ({reason})' for name, reason in unused])}."


def _history(sensor: str, state: RobotState) -> str:
    if state.last is None:
        return "You have not asked me anything before in this conversation."
    return f'You asked "{state.last.question}", and I answered "{state.last.answer}".'


_REPORTS: dict[str, Callable[[str, RobotState], str]] = {
    "abilities": _abilities,
    "sensors": _sensors,
    "sensor state": _sensor_state,
    "why not used": _why_not_used,
    "in use": _in_use,
    "confidence": _confidence,
    "evidence": _evidence,
    "history": _history,
}


def _name(modality: str) -> str:
    return _NAMES.get(modality, modality)


def _label(message: Health) -> str:
    name = _name(message.modality)
    return name if message.source in ("", message.modality) else f"{name} {message.source}"


def _counted(modality: str, names: Sequence[str]) -> str:
    """ "a lidar", "the camera front", "6 cameras (front, back, ...)"."""
    name = _name(modality)
    if len(names) > 1:
        return f"{len(names)} {name}s ({', '.join(names)})"
    if names and names[0] not in ("", modality):
        return f"the {name} {names[0]}"
    return f"an {name}" if name[0] in "aeioAEIO" else f"a {name}"


def _age(seconds: float) -> str:
    return f"{max(seconds, 0.0):.1f} s old"


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
