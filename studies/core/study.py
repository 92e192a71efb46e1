"""One persisted Optuna study: asks it for candidates and reports their outcomes.

Several runs may work on a study at once, in processes on one or many machines. They share only the
database: each reads the results of the others there before it asks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import chain
from typing import Any
from uuid import uuid4

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from nas.common.errors import InputError
from studies.core.candidate import Candidate
from studies.core.identity import check_identity
from studies.core.info import StudySettings
from studies.core.ledger import Ledger
from studies.core.outcome import Broken, Outcome, Trained, to_dict
from studies.core.parameters import distribution, draw_unseen, seed_for
from studies.core.record import Counts, Record, explain_no_results, violations
from studies.core.sampler import GuardedSampler
from studies.core.trials import (
    RUN,
    Repeat,
    claim_key,
    claims_of,
    constrain,
    recover_orphans,
    repeat_key,
    repeats_of,
    requeue,
)
from studies.core.weights import persist_weights
from studies.storage.locks import is_alive, mark_alive, mutex
from studies.storage.store import check_name

_MAX_DUPLICATES = 5  # in a row; then an unseen candidate is drawn at random
_MAX_CUT_OFF = 5  # a candidate interrupted this often probably crashes the machine: it is broken


@contextmanager
def open_study(settings: StudySettings) -> Iterator[Study]:
    """Create or continue a study, and work on it until the block ends.

    Other runs may work on it at the same time. Trials of killed runs are recovered at the start and
    at each ask: with a stored outcome they are completed, otherwise they fail and are queued again.

    Raises:
        InputError: The database cannot be used, or the study has settings that would make new
            results incomparable.
    """
    check_name(settings.name)
    store, run = settings.store, uuid4().hex[:12]
    with mark_alive(store, settings.name, run), ExitStack() as stack:
        with store.faults(), mutex(store, settings.name):
            raw = optuna.create_study(
                study_name=settings.name,
                storage=stack.enter_context(store.open()),
                directions=["maximize", "minimize"],  # gain in dB, log of the runtime in ms
                load_if_exists=True,
            )
            check_identity(raw, settings)
            study = Study(raw, settings, run)
        stack.callback(study.release)
        yield study


class Study:
    """Asks for candidates and stores their outcomes; `open_study` creates it."""

    def __init__(self, raw: optuna.Study, settings: StudySettings, run: str) -> None:
        self._raw = raw
        self._settings = settings
        self._run = run
        self._make_sampler = settings.sampler.open(settings)
        self._distributions = {d.name: distribution(d) for d in settings.space.dimensions}
        known = ((n, settings.space.parameters(a)) for n, a in settings.known.items())
        self._references = {name: params for name, params in known if params is not None}
        self._live: dict[int, optuna.Trial] = {}  # of this run
        self._pending_duplicates: dict[str, list[optuna.Trial]] = {}  # of this run, by layout
        self._ledger = Ledger(settings.budget)
        self.ended: str | None = None
        self._catch_up()

    # -- state -----------------------------------------------------------------------------

    @property
    def records(self) -> tuple[Record, ...]:
        """All trials in the order of asking, failed ones left out."""
        return self._ledger.records

    @property
    def counts(self) -> Counts:
        """Number of trials by status."""
        return self._ledger.counts

    @property
    def devices(self) -> frozenset[str]:
        """Names of the devices on which runtimes were measured."""
        return self._ledger.devices

    @property
    def runs(self) -> tuple[dict[str, Any], ...]:
        """Versions, commit and time of each run that worked on the study, this one last."""
        return tuple(self._raw.user_attrs["runs"])

    # -- ask and tell ----------------------------------------------------------------------

    def ask(self) -> Candidate | None:
        """Return the next candidate to evaluate, None when there is none now.

        While others are being evaluated None means that they may reach the goal; otherwise the
        search is over. If it is over before its goal, ``ended`` says why in one sentence.

        Raises:
            SamplerError: The sampler failed.
            InputError: The database cannot be used.
        """
        with self._exclusive():
            self._catch_up()
            while self.ended is None and not self._is_done():
                trial = self._next_trial()
                if trial is None:
                    if not self._live:
                        self.ended = self._exhausted()
                    return None
                candidate = self._candidate(trial)
                if candidate is not None:
                    return candidate
                self._read()
            trials = self._settings.trials or 0
            if not self._live and self.ended is None and self.counts.done < trials:
                self.ended = "Another search on this study evaluates the last candidates."
        return None

    def tell(self, candidate: Candidate, outcome: Outcome) -> tuple[Record, ...]:
        """Store the outcome of a candidate, and of all equal ones that wait for it."""
        folder = self._settings.store.folder(self._settings.name)
        outcome = persist_weights(candidate, outcome, folder)
        with self._settings.store.faults():
            trial = self._live.pop(candidate.trial)
            self._settle(trial, outcome)
            duplicates = self._pending_duplicates.pop(candidate.layout, [])
            for duplicate in duplicates:
                self._settle(duplicate, outcome, duplicate_of=candidate.trial)
            self._read()
        return tuple(self._ledger.ended[each.number] for each in (trial, *duplicates))

    def ask_repeat(
        self, choose: Callable[[Sequence[Record], Collection[Repeat]], Repeat | None]
    ) -> Candidate | None:
        """Claim one more training of a candidate for this run; None when there is none now.

        Args:
            choose: Selects one, given all records and the trainings that are done or in progress.
        """
        with self._exclusive():
            # Before catching up: a repeat that ends in between is then seen as done.
            claims = claims_of(self._raw.user_attrs, self._alive)
            self._catch_up()
            repeats = self._ledger.repeats
            chosen = choose(self.records, {*repeats, *claims})
            if chosen is None:
                runs = {run for which, run in claims.items() if which not in repeats}
                if runs and self._run not in runs and self.ended is None:
                    self.ended = "Another search on this study trains the last repeats."
                return None
            trial, number = chosen
            candidate = replace(self._ledger.ended[trial].candidate, repeat=number)
            self._raw.set_user_attr(claim_key(candidate), self._run)
        return candidate

    def tell_repeat(self, candidate: Candidate, gain_db: float | None) -> Record:
        """Store the gain of one more training of a candidate; None if it broke."""
        with self._settings.store.faults():
            self._raw.set_user_attr(repeat_key(candidate), gain_db)
            self._read()
        return self._ledger.ended[candidate.trial]

    def release(self) -> None:
        """Queue unfinished candidates again, for the next run of the study."""
        mine = [*self._live.values(), *chain(*self._pending_duplicates.values())]
        self._live.clear()
        self._pending_duplicates.clear()
        # A database that has just failed needs no second message; the next run recovers.
        with suppress(InputError), self._exclusive():
            trials = self._raw.get_trials(deepcopy=False)
            for trial in mine:
                requeue(self._raw, trials[trial.number], self._distributions)
            self._catch_up()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Exclude other runs for a moment, and report errors of the database."""
        store = self._settings.store
        with store.faults(), mutex(store, self._settings.name):
            yield

    # -- ask -------------------------------------------------------------------------------

    def _is_done(self) -> bool:
        settings, ledger = self._settings, self._ledger
        if ledger.since_result >= settings.patience:
            recent = ledger.records[-settings.patience :]
            self.ended = explain_no_results(recent, settings.budget, ledger.contradiction)
            return True
        return settings.trials is not None and self._committed >= settings.trials

    @property
    def _committed(self) -> int:
        """Number of trials that count as trained, or may once they end."""
        ledger = self._ledger
        evaluated = (r for r in ledger.running.values() if r.duplicate_of is None)
        return ledger.counts.done + sum(record.outcome is None for record in evaluated)

    def _due_reference(self) -> str | None:
        """The next known network, if it is due: they are a third of the trainings."""
        asked = self._ledger.origins
        name = next((name for name in self._references if name not in asked), None)
        if name is None:
            return None
        counted = (r for r in self.records if r.outcome is None or r.counts_as_trained)
        references = sum(record.candidate.origin in self._references for record in counted)
        return name if references < max(1, (self._committed + 1) // 3) else None

    def _exhausted(self) -> str:
        ledger = self._ledger
        if ledger.counts.done or not (ledger.records or ledger.contradiction):
            return "Every candidate of the space has been tried."
        return explain_no_results(ledger.records, self._settings.budget, ledger.contradiction)

    def _next_trial(self) -> optuna.Trial | None:
        """Start a trial: of an interrupted candidate, a known network, or a sampled one."""
        ledger = self._ledger
        seed = seed_for(self._settings.seed, ledger.asked)
        # Optuna calls the sampler for queued parameters too; then it need not model anything.
        sampler: BaseSampler = RandomSampler(seed)
        if ledger.waiting:
            pass
        elif (known := self._due_reference()) is not None:
            self._raw.enqueue_trial(dict(self._references[known]), user_attrs={"origin": known})
        elif ledger.consecutive_duplicates >= _MAX_DUPLICATES:
            unseen = draw_unseen(self._settings.space, ledger.trial_by_layout, seed)
            if unseen is None:
                return None
            self._raw.enqueue_trial(unseen, user_attrs={"origin": "random"})
        else:
            sampler = self._make_sampler(ledger, seed)
        self._raw.sampler = GuardedSampler(sampler, self._settings.sampler.name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._raw.ask(self._distributions)
        trial.set_user_attr(RUN, self._run)
        return trial

    def _candidate(self, trial: optuna.Trial) -> Candidate | None:
        """Return a trial's candidate; None if it is settled at once or waits for an equal one."""
        origin = trial.user_attrs.get("origin", "sampler")
        try:
            architecture = self._settings.space.architecture(trial.params)
        except InputError as error:  # choices of the space contradict each other
            impossible = Broken("cannot_build", str(error))
            trial.set_user_attr("contradiction", str(error))
            constrain(trial, violations(impossible, self._settings.budget))
            self._raw.tell(trial, **self._verdict(impossible))
            return None
        candidate = Candidate(trial.number, architecture, origin)
        trial.set_user_attr("candidate", candidate.to_dict())
        first = self._ledger.trial_by_layout.get(candidate.layout)
        if first is None:
            self._live[trial.number] = trial
            if trial.user_attrs.get("cut_off", 0) >= _MAX_CUT_OFF:
                reason = f"the run was cut off {_MAX_CUT_OFF} times while it was being evaluated"
                self.tell(candidate, Broken("error", reason))
                return None
            return candidate
        outcome = self._outcome(first)
        if outcome is None:
            trial.set_user_attr("duplicate_of", first)
            self._pending_duplicates.setdefault(candidate.layout, []).append(trial)
        else:
            self._settle(trial, outcome, duplicate_of=first)
        return None

    def _outcome(self, trial: int) -> Outcome | None:
        ledger = self._ledger
        return (ledger.ended.get(trial) or ledger.running[trial]).outcome

    # -- tell ------------------------------------------------------------------------------

    def _settle(
        self, trial: optuna.Trial, outcome: Outcome, duplicate_of: int | None = None
    ) -> None:
        """Store one outcome; nothing else does.

        Trained is COMPLETE, with a violated constraint if it tints. Everything else is PRUNED with
        a violated constraint, never FAIL: samplers ignore FAIL and would propose the same point
        again. A sampler that ignores PRUNED too is given the worst known values as COMPLETE, still
        with the violated constraint. Records and fronts follow the outcome, never these values.
        """
        constrain(trial, violations(outcome, self._settings.budget))
        if duplicate_of is not None:
            trial.set_user_attr("duplicate_of", duplicate_of)
        # From here on a killed run is recovered without evaluating again.
        trial.set_user_attr("outcome", to_dict(outcome))
        self._raw.tell(trial, **self._verdict(outcome))

    def _verdict(self, outcome: Outcome) -> dict[str, Any]:
        if isinstance(outcome, Trained):
            counted = max(outcome.runtime.ms, self._settings.budget.floor_ms or 0.0)
            return {"values": [outcome.gain_db, math.log(counted)]}
        if self._settings.sampler.reads_pruned:
            return {"state": TrialState.PRUNED}
        trained = [r.outcome for r in self.records if isinstance(r.outcome, Trained)]
        worst_gain = min([0.0, *(o.gain_db for o in trained)])
        limit = self._settings.budget.runtime_ms or 100.0
        runtime = outcome.runtime.ms if outcome.runtime else limit * math.e
        return {"values": [worst_gain, math.log(runtime)]}

    # -- other runs ------------------------------------------------------------------------

    def _catch_up(self) -> None:
        """Read the results of other runs, and recover trials of runs that are gone."""
        self._read()
        running = [t for t in self._ledger.open if t.state == TrialState.RUNNING]
        if recover_orphans(self._raw, running, self._distributions, self._alive, self._verdict):
            self._read()
        if self._settle_duplicates():
            self._read()

    def _read(self) -> None:
        """Update the ledger from the database."""
        repeats = repeats_of(self._raw.user_attrs)
        self._ledger = self._ledger.read(self._raw.get_trials(deepcopy=False), repeats)

    def _alive(self, run: str) -> bool:
        """Whether a run works on the study now."""
        store, name = self._settings.store, self._settings.name
        return run == self._run or (run != "" and is_alive(store, name, run))

    def _settle_duplicates(self) -> bool:
        """Settle duplicates of other runs' candidates; return whether there were any."""
        before = len(self._pending_duplicates)
        for key, duplicates in list(self._pending_duplicates.items()):
            first = self._ledger.trial_by_layout.get(key)
            if first is None:  # its run is gone: the candidate is queued again
                for duplicate in duplicates:
                    self._raw.tell(duplicate, state=TrialState.FAIL)
            elif (outcome := self._outcome(first)) is not None:
                for duplicate in duplicates:
                    self._settle(duplicate, outcome, duplicate_of=first)
            else:
                continue
            del self._pending_duplicates[key]
        return len(self._pending_duplicates) < before
