"""By which algorithm a network adds: the clock, which multiplies, or the pizza, which averages (Zhong et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float

from groklab import registry
from groklab.config.run import Run
from groklab.data.cyclic import cyclic_task
from groklab.measures.activations import is_transformer
from groklab.measures.fourier import power_spectrum
from groklab.measures.responses import embedding_of, problems, require_names, response_problems, responses_of
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.passes import pass_of
from groklab.model.torch_later import F, Tensor, torch
from groklab.registry import measure
from groklab.text.values import shown


def _sample_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    samples = settings["samples"]
    if not isinstance(samples, int) or isinstance(samples, bool) or samples < 1:
        return [f"samples: got {shown(samples)}; expected a whole number of triples, at least 1."]
    found = problems(settings, run=run)
    if run is not None and not found and _has_no_embedding(run):
        found.append(f"got {run.model.architecture}, which has no embedding; expected a transformer or an mlp with one.")
    return found


def _has_no_embedding(run: Run) -> bool:
    call = run.model.architecture
    return registry.parse_call(call).name == "mlp" and registry.settings_of("architecture", call)["inputs"] == "one_hot"


@measure(label="gradient symmetricity", source="Zhong et al. 2023", check=_sample_problems)
def gradient_symmetricity(parameters: Parameters, task: MeasuredTask, *, samples: int = 100) -> float:
    """Mean cosine of ∂logit_c/∂E_a and ∂logit_c/∂E_b over random triples (a, b, c): 1 where a and b enter symmetrically (Zhong et al. 2023, Definition 4.1).

    Near 0.99 in their pizzas, lower in clocks. Triples are drawn anew at every step of a run, with replacement; ValueError for a
    network without an embedding.
    """
    wrong = _sample_problems({"samples": samples}, run=task.run)
    if wrong:
        raise ValueError(f"gradient_symmetricity: {wrong[0]}")
    group = cyclic_task(task.table)
    drawn = group.places[task.randomness("gradient_symmetricity").integers(0, group.order, (3, samples))]
    a, b, c = (torch.from_numpy(side).to(parameters.flat.device) for side in drawn)
    left, right = _embedding_gradients(parameters, task, a, b, c)
    return float(F.cosine_similarity(left.double(), right.double(), dim=-1).mean())


def _embedding_gradients(
    parameters: Parameters, task: MeasuredTask, a: Tensor, b: Tensor, c: Tensor
) -> tuple[Float[Tensor, "B E"], Float[Tensor, "B E"]]:
    """Gradient of logit c at (a, b) with respect to the embedded a and the embedded b of each example."""
    embedded: list[Tensor] = []

    def see(name: str, activation: Tensor) -> Tensor:
        if name in ("hook_embed", "hook_embed_left", "hook_embed_right"):
            activation = activation.detach().requires_grad_()
            embedded.append(activation)
        return activation

    require_names(task.run)
    own = {name: value[0].detach() for name, value in parameters.items()}
    entry = registry.look_up("architecture", registry.parse_call(task.run.model.architecture).name)
    with torch.enable_grad():
        logits = pass_of(entry, "reference")(own, task.run.model, a, b, task.table.n, see=see)
        # Examples do not meet in the network, so that the gradient of a sum is that of each.
        gradients = torch.autograd.grad(logits.gather(1, c[:, None]).sum(), embedded)
    if not is_transformer(task.run):
        return gradients[0], gradients[1]
    return gradients[0][:, int(task.run.model.begin_token)], gradients[0][:, -2]


@measure(label="distance irrelevance", source="Zhong et al. 2023", check=response_problems)
def distance_irrelevance(parameters: Parameters, task: MeasuredTask) -> float:
    """How little the logit of the right answer depends on a − b: mean over d of its deviation among pairs of a − b = d, over its deviation among all (Zhong et al. 2023, Definition 4.2).

    0 where it depends on the distance alone (near 0.2 in pizzas), near 1 where it does not depend on it (nearer in clocks), and 1
    where it is the same for all pairs, up to rounding. For subtraction and division the distance is a + b.
    """
    responses = responses_of(parameters, task)
    group = responses.group
    M = group.order
    element = torch.from_numpy(group.places[group.answers])
    right = responses.logits.gather(2, element[..., None])[..., 0]
    a = torch.arange(M)
    by_distance = torch.stack([right[a, (group.sign * (a - d)) % M] for d in range(M)])
    spread = float(right.std(correction=0))
    if spread <= 1e-12 * float(right.abs().max()):
        return 1.0
    return float(by_distance.std(1, correction=0).mean()) / spread


@measure(label="circularity of the embedding", source="Zhong et al. 2023", check=problems)
def circularity(parameters: Parameters, task: MeasuredTask) -> float:
    """Mean over the first four principal components of the embedding of the largest share that one frequency has of it (Zhong et al. 2023).

    1 where each component is a wave. Over fewer components where the embedding has fewer dimensions, 0 where it is the same for all
    elements; both sides together where each place has an embedding of its own.
    """
    embedding = torch.cat([*embedding_of(parameters, task).values()], 1)
    components, size, _ = torch.linalg.svd(embedding - embedding.mean(0), full_matrices=False)
    components = components[:, :4][:, size[:4] > 1e-9 * embedding.norm()]
    if not components.shape[1]:
        return 0.0
    power = power_spectrum(components)[1:]
    return float((power.amax(0) / power.sum(0)).mean())
