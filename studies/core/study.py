"""One persisted Optuna study: asks it for candidates and tells it what became of them.

Several runs may work on a study at once, in processes on one or many machines. What they share is
the storage alone: each reads there what the others have told, before it asks.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import optuna
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import TrialState

from nas.common.errors import InputError
from studies.core.candidate import Candidate
from studies.core.identity import identify
from studies.core.ledger import Ledger
from studies.core.outcome import Broken, Outcome, Trained, to_dict
from studies.core.record import Counts, Record, explain_no_results, violations
from studies.core.trials import (
    RUN,
    Repeat,
    claim_key,
    claims_of,
    constrain,
    give_back,
    repeat_key,
    repeats_of,
    take_over,
)
from studies.core.weights import keepable
from studies.results.uncertainty import seed_noise
from studies.sampling.samplers import SAMPLERS, distribution, draw_unseen, make_sampler, seed_for
from studies.settings import StudySettings
from studies.storage.locks import is_alive, mark_alive, mutex
from studies.storage.store import check_name

if TYPE_CHECKING:  # it needs torch
    from studies.sampling.pool import Pool

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
    store, run = settings.store, uuid4().hex[:12]
    with mark_alive(store, settings.name, run), ExitStack() as stack:
        with store.faults(), mutex(store, settings.name):
            raw = optuna.create_study(
                study_name=settings.name,
                storage=stack.enter_context(store.open()),
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
        self._distributions = {d.name: distribution(d) for d in settings.space.dimensions}
        inside = ((n, settings.space.parameters(a)) for n, a in settings.known.items())
        self._inside = {name: params for name, params in inside if params is not None}
        self._live: dict[int, optuna.Trial] = {}  # of this run
        self._twins: dict[str, list[optuna.Trial]] = {}  # of this run, equal to a live one
        self._pool: Pool | None = None
        self._ledger = Ledger(settings.budget)
        self.ended: str | None = None
        self._catch_up()

    # -- what there is ---------------------------------------------------------------------

    @property
    def records(self) -> tuple[Record, ...]:
        """Every trial with what became of it, in the order of asking; left out are failed ones."""
        return self._ledger.records

    @property
    def counts(self) -> Counts:
        """How many of them ended in which way."""
        return self._ledger.counts

    @property
    def devices(self) -> frozenset[str]:
        """Names of what runtimes were measured on."""
        return self._ledger.devices

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
                self._read()
            trials = self._settings.trials or 0
            if not self._live and self.ended is None and self.counts.done < trials:
                self.ended = "Another search on this study evaluates the last candidates."
        return None

    def tell(self, candidate: Candidate, outcome: Outcome) -> tuple[Record, ...]:
        """Settle a candidate, and with it all equal ones that were asked for meanwhile."""
        folder = self._settings.store.folder(self._settings.name)
        outcome = keepable(candidate, outcome, folder)
        with self._settings.store.faults():
            told = [self._live.pop(candidate.trial)]
            self._settle(told[0], outcome)
            for twin in self._twins.pop(candidate.layout, []):
                self._settle(twin, outcome, duplicate_of=candidate.trial)
                told.append(twin)
            self._read()
        return tuple(self._ledger.ended[trial.number] for trial in told)

    def ask_repeat(
        self, choose: Callable[[Sequence[Record], Collection[Repeat]], Repeat | None]
    ) -> Candidate | None:
        """Claim one more training of a candidate for this run; None when there is none now.

        Args:
            choose: Says which, from all records and from the trainings that are done or under way.
        """
        with self._turn():
            # First: what ends meanwhile is told then.
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
        """Keep the gain of one more training of a candidate; None when it broke."""
        with self._settings.store.faults():
            self._raw.set_user_attr(repeat_key(candidate), gain_db)
            self._read()
        return self._ledger.ended[candidate.trial]

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
        store = self._settings.store
        with store.faults(), mutex(store, self._settings.name):
            yield

    # -- asking ----------------------------------------------------------------------------

    def _enough(self) -> bool:
        settings, ledger = self._settings, self._ledger
        if ledger.since_result >= settings.patience:
            recent = ledger.records[-settings.patience :]
            self.ended = explain_no_results(recent, settings.budget, ledger.contradiction)
            return True
        return settings.trials is not None and self._begun >= settings.trials

    @property
    def _begun(self) -> int:
        """How many count as trained, and may come to."""
        ledger = self._ledger
        evaluated = (r for r in ledger.running.values() if r.duplicate_of is None)
        return ledger.counts.done + sum(record.outcome is None for record in evaluated)

    def _known_next(self) -> str | None:
        """The known network that is next, if one may be: they are a third of the trainings."""
        asked = self._ledger.origins
        name = next((name for name in self._inside if name not in asked), None)
        if name is None:
            return None
        begun = (r for r in self.records if r.outcome is None or r.counts_as_trained)
        given = sum(record.candidate.origin in self._inside for record in begun)
        return name if given < max(1, (self._begun + 1) // 3) else None

    def _exhausted(self) -> str:
        ledger = self._ledger
        if ledger.counts.done or not (ledger.records or ledger.contradiction):
            return "Every candidate of the space has been tried."
        return explain_no_results(ledger.records, self._settings.budget, ledger.contradiction)

    def _next_trial(self) -> optuna.Trial | None:
        """Start a trial: first what was cut off, then a known network or what is sampled."""
        ledger = self._ledger
        seed = seed_for(self._settings.seed, ledger.asked)
        # It is asked whenever a trial starts, and would model gains for one that is given.
        sampler: BaseSampler = RandomSampler(seed)
        if ledger.waiting:
            pass
        elif (known := self._known_next()) is not None:
            self._raw.enqueue_trial(dict(self._inside[known]), user_attrs={"origin": known})
        elif ledger.consecutive_duplicates >= _STALE:
            unseen = draw_unseen(self._settings.space, ledger.trial_by_layout, seed)
            if unseen is None:
                return None
            self._raw.enqueue_trial(unseen, user_attrs={"origin": "random"})
        else:
            sampler = self._sampler(seed)
        self._raw.sampler = sampler
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
        from studies.sampling.ehvi import EhviSampler
        from studies.sampling.gain_model import shipped_prior
        from studies.sampling.pool import Pool

        if self._pool is None:
            assert settings.costs_of is not None
            self._pool = Pool(settings.space, settings.budget, settings.costs_of, settings.seed)
        ledger = self._ledger
        return EhviSampler(
            self._pool,
            shipped_prior(),
            ledger.records,
            ledger.trial_by_layout.keys(),
            settings.budget,
            seed_noise(ledger.records).sd_db,
            seed,
        )

    def _candidate(self, trial: optuna.Trial) -> Candidate | None:
        """Return a trial's candidate; None when it is settled at once or waits for an equal one."""
        origin = trial.user_attrs.get("origin", "sampler")
        try:
            architecture = self._settings.space.architecture(trial.params)
        except InputError as error:  # the space is a product: some of its corners contradict
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
            self._twins.setdefault(candidate.layout, []).append(trial)
        else:
            self._settle(trial, outcome, duplicate_of=first)
        return None

    def _outcome(self, trial: int) -> Outcome | None:
        ledger = self._ledger
        return (ledger.ended.get(trial) or ledger.running[trial]).outcome

    # -- telling ---------------------------------------------------------------------------

    def _settle(
        self, trial: optuna.Trial, outcome: Outcome, duplicate_of: int | None = None
    ) -> None:
        """Write down one outcome: the only place where a study learns of it.

        Trained is COMPLETE, with a violated constraint where it tints. Everything else is PRUNED
        with a violated constraint, never FAIL: samplers ignore FAIL and would ask for the same
        point for ever. The one exception is GP, which ignores PRUNED too: it is shown the worst
        known values, still with the violated constraint. Records and fronts follow the outcome,
        never these values.
        """
        constrain(trial, violations(outcome, self._settings.budget))
        if duplicate_of is not None:
            trial.set_user_attr("duplicate_of", duplicate_of)
        # From here on a killed run can be put right without evaluating again.
        trial.set_user_attr("outcome", to_dict(outcome))
        self._raw.tell(trial, **self._verdict(outcome))

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
        self._read()
        running = [t for t in self._ledger.open if t.state == TrialState.RUNNING]
        if take_over(self._raw, running, self._distributions, self._alive, self._verdict):
            self._read()
        if self._settle_twins():
            self._read()

    def _read(self) -> None:
        """Bring the ledger up to date with the storage."""
        repeats = repeats_of(self._raw.user_attrs)
        self._ledger = self._ledger.read(self._raw.get_trials(deepcopy=False), repeats)

    def _alive(self, run: str) -> bool:
        """Say whether a run works on the study now."""
        store, name = self._settings.store, self._settings.name
        return run == self._run or (run != "" and is_alive(store, name, run))

    def _settle_twins(self) -> bool:
        """Settle what waited for an equal candidate of another run; say whether there was any."""
        waited = len(self._twins)
        for key, twins in list(self._twins.items()):
            first = self._ledger.trial_by_layout.get(key)
            if first is None:  # its run is gone: the candidate itself is asked for again
                for twin in twins:
                    self._raw.tell(twin, state=TrialState.FAIL)
            elif (outcome := self._outcome(first)) is not None:
                for twin in twins:
                    self._settle(twin, outcome, duplicate_of=first)
            else:
                continue
            del self._twins[key]
        return len(self._twins) < waited
