"""Programs that nobody thought of: random pointwise graphs and row reductions, against torch."""

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

LEAVES = st.sampled_from(
    ["x", "y", "x[:, :1]", "y.mean(-1, keepdim=True)", "0.5", "x.amax(1)[:, None]"]
)
UNARY = ["torch.tanh({})", "torch.sigmoid({})", "F.relu({})", "({}).abs()", "-({})", "F.gelu({})",
         "torch.exp(-({}).abs())", "F.softplus({})", "({}).square().clamp(max=4.0)"]  # fmt: skip
BINARY = ["({} + {})", "({} - {})", "({} * {})", "torch.where(({0}) > ({1}), {0}, {1} * 2)",
          "torch.maximum(x * 0 + {}, x * 0 + {})", "({}) / (({}).abs() + 1.0)"]  # fmt: skip


def tensor(text):
    return f"(x * 0 + {text})"


def grown(inner):
    one = st.tuples(st.sampled_from(UNARY), inner).map(lambda t: t[0].format(tensor(t[1])))
    two = st.tuples(st.sampled_from(BINARY), inner, inner).map(
        lambda t: t[0].format(tensor(t[1]), tensor(t[2]))
    )
    return one | two


EXPRESSIONS = st.recursive(LEAVES, grown, max_leaves=6)
OUTPUTS = st.sampled_from(
    ["{}", "({}).sum(-1)", "F.softmax({}, -1)", "({}).mean(0)", "({}).amax()"]
)


@settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(parts=st.lists(st.tuples(OUTPUTS, EXPRESSIONS), min_size=2, max_size=4))
def test_a_random_program_is_drafted_right(parts, tracing, make_file, kernel, make_case):
    """Sums of terms that cancel are compared by the size of the terms, which is about one."""
    returned = ", ".join(out.format(tensor(e)) for out, e in parts)
    text = make_file(f"return ({returned},)", inputs=("torch.randn(B, D)", "torch.randn(B, D)"))
    studied = tracing(text)
    built = kernel(studied.candidates("cpp")[0], studied.problem)
    for sizes in ({"B": 2, "C": 2, "D": 3}, {"B": 17, "C": 2, "D": 131}):
        case = make_case(studied, sizes)
        for expected, raw in zip(case.expected, built(case.tensors, case.axes), strict=True):
            np.testing.assert_allclose(raw, expected.values.ravel(), rtol=1e-5, atol=1e-4)
