"""One persisted Optuna study: asks it for candidates and tells it what became of them.

Several runs may work on a study at once, in processes on one or many machines. What they share is
the storage alone: each reads there what the others have told, before it asks.
"""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from search_spaces.errors import InputError
from studies.candidate import Candidate
from studies.identity import identify
from studies.locks import is_present, presence, turn
from studies.noise import seed_noise
from studies.outcome import Broken, Outcome, Trained, to_dict
from studies.reading import opened
from studies.record import Counts, Record, counts, violations, why_fruitless
from studies.samplers import SAMPLERS, distribution, draw_unseen, make_sampler, seed_for
from studies.settings import StudySettings
from studies.storage import check_name, check_url, explained, study_folder
from studies.trials import (
    RUN,
    Repeat,
    claim_key,
    claims_of,
    give_back,
    record_of,
    repeat_key,
    repeats_of,
    take_over,
    with_repeats,
)
from studies.weights import keepable

if TYPE_CHECKING:  # it needs torch
    from studies.ehvi import Pool

_STALE = 5  # duplicates in a row after which an unseen candidate is drawn at random
_MAX_CUT_OFF = 5  # a candidate cut off this often takes the machine down: it is given up


@contextmanager
def open_study(settings: StudySettings) -> Iterator[Study]:
    """Create or continue a study, and work on it until the block ends.

    Others may work on it meanwhile. Trials that a killed run left unfinished are put right, first
    and whenever one is asked for: one whose outcome was already known is told it, any other is
    failed and asked for again.

    Raises:
        InputError: The storage cannot be used, or the study was made with settings that would make
            new results incomparable.
    """
    if settings.sampler not in SAMPLERS:
        raise InputError(f"--sampler {settings.sampler!r}: choose one of {', '.join(SAMPLERS)}.")
    check_name(settings.name)
    check_url(settings.storage)
    run = uuid4().hex[:12]
    with presence(settings.storage, settings.name, run), ExitStack() as stack:
        with explained(settings.storage), turn(settings.storage, settings.name):
            raw = optuna.create_study(
                study_name=settings.name,
                storage=stack.enter_context(opened(settings.storage)),
                directions=["maximize", "minimize"],  # gain in dB, log of the runtime in ms
                load_if_exists=True,
            )
            identify(raw, settings)
            study = Study(raw, settings, run)
        stack.callback(study.release)
        yield study


class Study:
    """Asks for candidates and is told their outcomes; `open_study` makes it."""

    def __init__(self, raw: optuna.Study, settings: StudySettings, run: str) -> None:
        self._raw = raw
        self._settings = settings
        self._run = run
        self._folder = study_folder(settings.storage, settings.name)
        self._space = settings.space
        self._distributions = {d.name: distribution(d) for d in self._space.dimensions}
        self._records: dict[int, Record] = {}
        self._repeats: dict[Repeat, float | None] = {}
        self._first: dict[str, int] = {}  # layout -> the trial that evaluates it
        self._live: dict[int, optuna.Trial] = {}  # of this run
        self._twins: dict[str, list[optuna.Trial]] = {}  # of this run, equal to a live one
        self._waiting = 0
        self._stale = 0
        self._fruitless = 0
        self._contradiction: str | None = None  # since the last fruit
        self._asked = 0
        self._pool: Pool | None = None
        self.ended: str | None = None
        inside = ((n, self._space.parameters(a)) for n, a in settings.known.items())
        self._inside = tuple((n, p) for n, p in inside if p is not None)
        self._known: deque[tuple[str, Mapping[str, Any]]] = deque()
        self._catch_up()
        for record in self.records:
            self._stale = self._stale + 1 if record.duplicate_of is not None else 0
            self._fruitless = 0 if record.is_fruit else self._fruitless + 1

    # -- what there is ---------------------------------------------------------------------

    @property
    def records(self) -> tuple[Record, ...]:
        """Every trial with what became of it, in the order of asking; left out are failed ones."""
        return tuple(self._records[number] for number in sorted(self._records))

    @property
    def counts(self) -> Counts:
        """How many of them ended in which way."""
        return counts(self._records.values())

    @property
    def runs(self) -> tuple[dict[str, Any], ...]:
        """Versions, commit and time of each run that worked on the study, this one last."""
        return tuple(self._raw.user_attrs["runs"])

    # -- ask and tell ----------------------------------------------------------------------

    def ask(self) -> Candidate | None:
        """Return the next candidate to evaluate, or None when there is none now.

        None while others are being evaluated means that the goal would be passed; None while
        there are none means that the search is over. When it is over before its goal, ``ended``
        holds one sentence that says why.
        """
        with self._turn():
            self._catch_up()
            while self.ended is None and not self._enough():
                trial = self._next_trial()
                if trial is None:
                    if not self._live:
                        self.ended = self._exhausted()
                    return None
                candidate = self._candidate(trial)
                if candidate is not None:
                    return candidate
            if not self._live and self.ended is None and self.counts.done < self._settings.trials:
                self.ended = "Another search on this study evaluates the last candidates."
        return None

    def tell(self, candidate: Candidate, outcome: Outcome) -> tuple[Record, ...]:
        """Settle a candidate, and with it all equal ones that were asked for meanwhile."""
        outcome = keepable(candidate, outcome, self._folder)
        with explained(self._settings.storage):
            told = [self._settle(self._live.pop(candidate.trial), candidate, outcome)]
            for twin in self._twins.pop(candidate.layout, []):
                equal = Candidate.from_dict(twin.user_attrs["candidate"])
                told.append(self._settle(twin, equal, outcome, duplicate_of=candidate.trial))
        return tuple(told)

    def ask_repeat(
        self, choose: Callable[[Sequence[Record], Collection[Repeat]], Repeat | None]
    ) -> Candidate | None:
        """Claim one more training of a candidate for this run; None when there is none now.

        Args:
            choose: Says which, from all records and from the trainings that are done or under way.
        """
        with self._turn():
            claims = claims_of(self._raw, self._alive)  # first: what ends meanwhile is told then
            self._catch_up()
            chosen = choose(self.records, {*self._repeats, *claims})
            if chosen is None:
                runs = {run for which, run in claims.items() if which not in self._repeats}
                if runs and self._run not in runs and self.ended is None:
                    self.ended = "Another search on this study trains the last repeats."
                return None
            trial, number = chosen
            candidate = replace(self._records[trial].candidate, repeat=number)
            self._raw.set_user_attr(claim_key(candidate), self._run)
        return candidate

    def tell_repeat(self, candidate: Candidate, gain_db: float | None) -> Record:
        """Keep the gain of one more training of a candidate; None when it broke."""
        with explained(self._settings.storage):
            self._raw.set_user_attr(repeat_key(candidate), gain_db)
        self._repeats[candidate.trial, candidate.repeat] = gain_db
        record = with_repeats(self._records[candidate.trial], self._repeats)
        self._records[candidate.trial] = record
        return record

    def release(self) -> None:
        """Give back what is still being evaluated, so that no trial stays running.

        A candidate is asked for again when the study is next opened.
        """
        mine = [*self._live.values(), *(twin for equal in self._twins.values() for twin in equal)]
        self._live.clear()
        self._twins.clear()
        # A database that has just failed needs no second message; the next run puts it right.
        with suppress(InputError), self._turn():
            trials = self._raw.get_trials(deepcopy=False)
            for trial in mine:
                give_back(self._raw, trials[trial.number], self._distributions)
            self._catch_up()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Have the study alone for a moment, and its database's faults in one sentence."""
        with explained(self._settings.storage), turn(self._settings.storage, self._settings.name):
            yield

    # -- asking ----------------------------------------------------------------------------

    def _enough(self) -> bool:
        if self._fruitless >= self._settings.patience:
            recent = self.records[-self._settings.patience :]
            self.ended = why_fruitless(recent, self._settings.budget, self._contradiction)
            return True
        underway = sum(r.outcome is None and r.duplicate_of is None for r in self.records)
        return self.counts.done + underway >= self._settings.trials

    def _exhausted(self) -> str:
        if self.counts.done or not (self._records or self._contradiction):
            return "Every candidate of the space has been tried."
        return why_fruitless(self.records, self._settings.budget, self._contradiction)

    def _next_trial(self) -> optuna.Trial | None:
        """Start a trial: first what was cut off, then known networks, then what is sampled."""
        seed = seed_for(self._settings.seed, self._asked)
        if self._waiting:
            self._waiting -= 1
        elif self._known:
            name, params = self._known.popleft()
            self._raw.enqueue_trial(dict(params), user_attrs={"origin": name})
        elif self._stale >= _STALE:
            unseen = draw_unseen(self._space, self._first, seed)
            if unseen is None:
                return None
            self._raw.enqueue_trial(unseen, user_attrs={"origin": "random"})
        self._raw.sampler = self._sampler(seed)
        self._asked += 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._raw.ask(self._distributions)
        trial.set_user_attr(RUN, self._run)
        return trial

    def _sampler(self, seed: int) -> BaseSampler:
        """A sampler for one ask: what it learns from is in the study alone."""
        settings = self._settings
        if settings.sampler != "ehvi":
            return make_sampler(settings.sampler, seed, settings.seed)
        from studies.ehvi import EhviSampler, Pool
        from studies.gain_model import shipped_prior

        if self._pool is None:
            assert settings.costs_of is not None
            self._pool = Pool(settings.space, settings.budget, settings.costs_of, settings.seed)
        noise_db = seed_noise(self.records).sd_db
        return EhviSampler(
            self._pool, shipped_prior(), self.records, settings.budget, noise_db, seed
        )

    def _candidate(self, trial: optuna.Trial) -> Candidate | None:
        """Return a trial's candidate; None when it is settled at once or waits for an equal one."""
        origin = trial.user_attrs.get("origin", "sampler")
        try:
            architecture = self._space.architecture(trial.params)
        except InputError as error:  # the space is a product: some of its corners contradict
            self._fruitless += 1
            self._stale += 1
            self._contradiction = str(error)
            impossible = Broken("cannot_build", str(error))
            trial.set_user_attr("contradiction", str(error))
            for name, violation in violations(impossible, self._settings.budget).items():
                trial.set_constraint(name, violation)
            self._raw.tell(trial, **self._verdict(impossible))
            return None
        candidate = Candidate(trial.number, architecture, origin)
        trial.set_user_attr("candidate", candidate.to_dict())
        first = self._first.get(candidate.layout)
        if first is None:
            self._stale = 0
            self._first[candidate.layout] = trial.number
            self._live[trial.number] = trial
            self._records[trial.number] = Record(candidate)
            if trial.user_attrs.get("cut_off", 0) >= _MAX_CUT_OFF:
                reason = f"the run was cut off {_MAX_CUT_OFF} times while it was being evaluated"
                self.tell(candidate, Broken("error", reason))
                return None
            return candidate
        self._stale += 1
        outcome = self._records[first].outcome
        if outcome is None:
            trial.set_user_attr("duplicate_of", first)
            self._twins.setdefault(candidate.layout, []).append(trial)
        else:
            self._settle(trial, candidate, outcome, duplicate_of=first)
        return None

    # -- telling ---------------------------------------------------------------------------

    def _settle(
        self,
        trial: optuna.Trial,
        candidate: Candidate,
        outcome: Outcome,
        duplicate_of: int | None = None,
    ) -> Record:
        """Write down one outcome: the only place where a study learns of it.

        Trained is COMPLETE, with a violated constraint where it tints. Everything else is PRUNED
        with a violated constraint, never FAIL: samplers ignore FAIL and would ask for the same
        point for ever. The one exception is GP, which ignores PRUNED too: it is shown the worst
        known values, still with the violated constraint. Records and fronts follow the outcome,
        never these values.
        """
        for name, violation in violations(outcome, self._settings.budget).items():
            trial.set_constraint(name, violation)
        if duplicate_of is not None:
            trial.set_user_attr("duplicate_of", duplicate_of)
        # From here on a killed run can be put right without evaluating again.
        trial.set_user_attr("outcome", to_dict(outcome))
        frozen = self._raw.tell(trial, **self._verdict(outcome))
        self._records[trial.number] = record = record_of(frozen, self._settings.budget)
        if record.is_fruit:
            self._fruitless, self._contradiction = 0, None
        else:
            self._fruitless += 1
        return record

    def _verdict(self, outcome: Outcome) -> dict[str, Any]:
        if isinstance(outcome, Trained):
            counted = max(outcome.runtime.ms, self._settings.budget.floor_ms or 0.0)
            return {"values": [outcome.gain_db, math.log(counted)]}
        if self._settings.sampler != "gp":
            return {"state": TrialState.PRUNED}
        trained = [r.outcome for r in self.records if isinstance(r.outcome, Trained)]
        worst_gain = min([0.0, *(o.gain_db for o in trained)])
        limit = self._settings.budget.runtime_ms or 100.0
        runtime = outcome.runtime.ms if outcome.runtime else limit * math.e
        return {"values": [worst_gain, math.log(runtime)]}

    # -- with others -----------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Read what other runs have done, and take over what those that are gone left behind."""
        take_over(self._raw, self._distributions, self._alive, self._verdict)
        trials = [t for t in self._raw.get_trials(deepcopy=False) if t.state != TrialState.FAIL]
        self._repeats = repeats_of(self._raw)
        self._waiting = sum(trial.state == TrialState.WAITING for trial in trials)
        self._asked = len(trials) - self._waiting
        waiting = {twin.number for twins in self._twins.values() for twin in twins}
        self._records = {
            trial.number: self._record(trial)
            for trial in trials
            if "candidate" in trial.user_attrs and trial.number not in waiting
        }
        self._first = {}
        for record in self.records:
            if record.duplicate_of is None:
                self._first.setdefault(record.candidate.layout, record.trial)
        asked_for = {trial.user_attrs.get("origin") for trial in trials}
        self._known = deque((n, p) for n, p in self._inside if n not in asked_for)
        self._settle_twins()

    def _alive(self, run: str) -> bool:
        """Say whether a run works on the study now."""
        storage, name = self._settings.storage, self._settings.name
        return run == self._run or (run != "" and is_present(storage, name, run))

    def _record(self, trial: FrozenTrial) -> Record:
        """Read a trial, unless its end has been read already."""
        known = self._records.get(trial.number)
        if known is None or known.outcome is None:
            known = record_of(trial, self._settings.budget)
        return with_repeats(known, self._repeats)

    def _settle_twins(self) -> None:
        """Settle what waited for an equal candidate of another run."""
        for key, twins in list(self._twins.items()):
            first = self._first.get(key)
            if first is None:  # its run is gone: the candidate itself is asked for again
                for twin in twins:
                    self._raw.tell(twin, state=TrialState.FAIL)
            elif (outcome := self._records[first].outcome) is not None:
                for twin in twins:
                    equal = Candidate.from_dict(twin.user_attrs["candidate"])
                    self._settle(twin, equal, outcome, duplicate_of=first)
            else:
                continue
            del self._twins[key]
