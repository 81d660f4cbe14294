from __future__ import annotations

from collections.abc import Callable

from edgerestore.decision.choice import choose
from edgerestore.decision.result import Limits
from edgerestore.decision.words import reasons
from edgerestore.measure.bench.profile import Profile
from edgerestore.measure.bench.profile.operators import Operator, kind_of

Make = Callable[..., object]

LIMITS = Limits(mean_drop_db=0.05, worst_drop_db=0.1)
NONE = {"FP32": (), "BF16": (), "INT8": (), "INT8, 2 in float": ("head", "tail.0")}


def operator(type_: str, precision: str, us: float, number: int = 1) -> Operator:
    products = number if kind_of(type_, {}) in ("convolution", "matrix product") else 0
    return Operator(
        name="n", type=type_, kind=kind_of(type_, {}), precision=precision, kernel="k",
        calls=number, us=us, holds={type_: number}, products=products,
        products_int8=products if precision == "int8" else 0,
    )  # fmt: skip


def profile(precision: str, *operators: Operator) -> Profile:
    return Profile(
        bundle="b", name="n", precision=precision, runtime="r", threads=1, runs=1, total_us=1.0,
        summary=[], groups=[], operators=list(operators),
    )  # fmt: skip


FLOATS = (
    operator("LayerNormalization", "bf16", 30, 36),
    operator("Softmax", "fp32", 20, 108),
    operator("Reorder", "bf16", 10, 3),
)
PROFILES = {
    "BF16": profile("bf16", operator("MatMul", "bf16", 40, 84), *FLOATS),
    "INT8": profile(
        "int8", operator("MatMul", "int8", 36, 80), operator("MatMul", "bf16", 4, 4), *FLOATS
    ),
}


def told(*options: object, limits: Limits = LIMITS) -> list[str]:
    return reasons(choose(options, limits), options, limits, PROFILES, NONE)


def test_int8_that_does_not_pay_says_why_with_the_counts_of_the_profile(option: Make) -> None:
    said = told(option("FP32", 9.0), option("BF16", 5.0), option("INT8", 5.0, 0.02))
    assert said[0].startswith("BF16 is recommended: 0.5")
    assert "it loses nothing in the mean and on no image" in said[0]
    assert said[1].startswith("INT8 does not pay here: 1.0")
    assert said[1].endswith(
        "the fastest in float, because 36 LayerNorms, 108 softmaxes and 4 of 84 matrix "
        "products and convolutions stay in float, mostly BF16; of its time 40 % other products, "
        "50 % LayerNorm and softmax, 10 % layout copies."
    )
    assert said[2] == (
        "Kernels with products are 40 % of the time of BF16: were they free, 60 % of it would "
        "remain."
    )


def test_a_cpu_without_vnni_is_named_where_int8_does_not_pay(option: Make) -> None:
    def said(*options: object, units: list[str]) -> str:
        chosen = choose(options, LIMITS)
        return "\n".join(reasons(chosen, options, LIMITS, PROFILES, NONE, units))

    slower = option("FP32", 5.0), option("INT8", 6.0, 0.02)
    faster = option("FP32", 9.0), option("INT8", 3.0, 0.02)
    sentence = "\nThis CPU has no VNNI, and multiplies in INT8 hardly faster than in FP32."
    assert sentence in said(*slower, units=["INT8 by AVX2"])
    assert sentence not in said(*faster, units=["INT8 by AVX2"])
    assert sentence not in said(*slower, units=["INT8 at full rate", "INT8 by AVX2"])
    assert sentence not in said(*slower, units=[])


def test_int8_that_pays_says_what_bounds_it(option: Make) -> None:
    said = told(option("FP32", 9.0), option("BF16", 5.0), option("INT8", 3.0, 0.02))
    assert said[0].startswith("INT8 is recommended: 0.3")
    assert said[1].startswith("INT8 pays: 0.6")
    assert said[2].startswith("What bounds it: 36 LayerNorms, 108 softmaxes")


def test_a_gain_that_does_not_matter_is_called_so(option: Make) -> None:
    said = told(option("FP32", 9.0), option("BF16", 5.0), option("INT8", 4.9, 0.02))
    assert said[1].startswith("INT8 hardly pays here: 0.98 times")
    assert "because 36 LayerNorms, 108 softmaxes and" in said[1]


def test_noise_is_not_an_answer(option: Make) -> None:
    said = told(option("BF16", 5.0, spread=0.3), option("INT8", 5.0, 0.02, spread=0.3))
    assert any(s.startswith("Whether INT8 pays cannot be told: ") for s in said)
    assert any("may be better: " in s and "--seconds" in s for s in said)


def test_missed_limits_are_named(option: Make) -> None:
    bad = option("INT8", 3.0, 0.06, worst_db=0.2)
    said = told(option("FP32", 9.0), bad)
    assert "INT8 loses 0.200 dB on 'baby' (limit 0.1) and loses 0.060 dB in the mean" in said[1]
    unsure = option("INT8", 3.0, 0.04, interval=(0.01, 0.07))
    said = told(option("FP32", 9.0), unsure)
    assert "INT8 may lose up to 0.070 dB in the mean (limit 0.05), as far as 5 images" in said[1]
    assert told(bad)[0] == "No candidate keeps the limits."


def test_what_float_modules_win_and_cost_is_told(option: Make) -> None:
    said = told(
        option("FP32", 9.0), option("INT8", 3.0, 0.02), option("INT8, 2 in float", 3.6, 0.005)
    )
    (mixed,) = [s for s in said if s.startswith("Leaving head, tail.0 in float wins 0.015 dB")]
    assert "takes 1.2" in mixed


def test_a_runtime_whose_profile_is_not_read_gives_no_reason(option: Make) -> None:
    options = [option("FP32", 5.0), option("INT8", 5.0, 0.02)]
    said = reasons(choose(options, LIMITS), options, LIMITS, {}, NONE)
    assert said[1].endswith("the latency of FP32, the fastest in float.")
