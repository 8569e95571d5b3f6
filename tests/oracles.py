"""The formulas in plain NumPy: loops over rows and experts, one at a time."""

import numpy as np

ACTIVATIONS = {
    None: lambda x: x,
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0.0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "softmax": lambda x: softmax(x),
}


def softmax(row):
    shifted = np.exp(row - np.max(row))
    return shifted / np.sum(shifted)


def best(row, k):
    """The k best places of a row, ties to the lower one."""
    return np.argsort(-row, kind="stable")[:k]


def softmax_gates(logits, top_k=None, normalize=True):
    """Gates `(N, E)` of logits `(N, E)`."""
    gates = np.zeros(logits.shape)
    for n, row in enumerate(np.asarray(logits, "float64")):
        probabilities = softmax(row)
        if top_k is None:
            gates[n] = probabilities
            continue
        chosen = best(row, top_k)
        # Renormalised, a single gate would be the constant 1.
        whole = sum(probabilities[e] for e in chosen)
        divide = normalize and top_k > 1
        for e in chosen:
            gates[n, e] = probabilities[e] / (whole if divide else 1.0)
    return gates


def switch_balance(logits, top_k, real=None):
    """E sum_e f_e P_e, by counting."""
    num_rows, num_experts = logits.shape
    real = np.ones(num_rows) if real is None else np.asarray(real)
    counts, means, rows = np.zeros(num_experts), np.zeros(num_experts), 0
    for n in range(num_rows):
        if not real[n]:
            continue
        rows += 1
        for e in best(logits[n], top_k):
            counts[e] += 1
        means += softmax(np.asarray(logits[n], "float64"))
    loss = 0.0
    for e in range(num_experts):
        loss += (counts[e] / (rows * top_k)) * (means[e] / rows)
    return num_experts * loss


def z_loss(logits, real=None):
    values = [
        np.log(np.sum(np.exp(np.asarray(row, "float64")))) ** 2
        for n, row in enumerate(logits)
        if real is None or real[n]
    ]
    return sum(values) / len(values)


def dense(row, kernel, bias=None):
    outputs = np.zeros(kernel.shape[1])
    for u in range(kernel.shape[1]):
        for d in range(kernel.shape[0]):
            outputs[u] += row[d] * kernel[d, u]
        if bias is not None:
            outputs[u] += bias[u]
    return outputs


def dense_expert(row, layers, activation, output_activation=None):
    """One expert on one row; `layers` are its one or two (kernel, bias)."""
    values = dense(row, *layers[0])
    values = ACTIVATIONS[activation](values)
    if len(layers) == 2:
        values = dense(values, *layers[1])
    return ACTIVATIONS[output_activation](values)


def convolve(image, kernel, bias):
    """ "same" convolution, stride 1: the odd zero goes below and right."""
    height, width, _ = image.shape
    side, _, _, filters = kernel.shape
    before = (side - 1) // 2
    outputs = np.zeros((height, width, filters))
    for y in range(height):
        for x in range(width):
            outputs[y, x] = bias
            for i in range(side):
                for j in range(side):
                    row, column = y + i - before, x + j - before
                    if 0 <= row < height and 0 <= column < width:
                        outputs[y, x] += image[row, column] @ kernel[i, j]
    return outputs


def max_pool(image, size):
    """ "same" max pooling whose stride is its size."""
    height, width, channels = image.shape
    rows, columns = -(-height // size), -(-width // size)
    above = (rows * size - height) // 2
    left = (columns * size - width) // 2
    outputs = np.zeros((rows, columns, channels))
    for y in range(rows):
        for x in range(columns):
            top, side = y * size - above, x * size - left
            window = image[max(top, 0) : top + size, max(side, 0) : side + size]
            outputs[y, x] = np.max(window, axis=(0, 1))
    return outputs


def conv_expert(
    image,
    blocks,
    pool_size=1,
    pooling=None,
    projection=None,
    linear_last=False,
):
    """One expert on one image; `blocks` are (kernel, bias), relu between."""
    for number, (kernel, bias) in enumerate(blocks, start=1):
        image = convolve(image, kernel, bias)
        if number < len(blocks) or not linear_last:
            image = np.maximum(image, 0)
        image = max_pool(image, pool_size)
    if pooling == "avg":
        image = np.mean(image, axis=(0, 1))
    elif pooling == "max":
        image = np.max(image, axis=(0, 1))
    elif pooling == "flatten":
        image = image.reshape(-1)
    return image if projection is None else dense(image, *projection)


def gru(sequence, kernel, recurrent, bias, mask=None):
    """Keras' GRU with `reset_after=True`; the last state."""
    units = recurrent.shape[0]
    sigmoid = ACTIVATIONS["sigmoid"]
    state = np.zeros(units)
    for t, step in enumerate(sequence):
        if mask is not None and not mask[t]:
            continue
        inner = step @ kernel + bias[0]
        outer = state @ recurrent + bias[1]
        update = sigmoid(inner[:units] + outer[:units])
        reset = sigmoid(inner[units : 2 * units] + outer[units : 2 * units])
        new = np.tanh(inner[2 * units :] + reset * outer[2 * units :])
        state = update * state + (1 - update) * new
    return state


def lstm(sequence, kernel, recurrent, bias):
    """Keras' LSTM, whose gates are in the order i, f, c, o; the last state."""
    units = recurrent.shape[0]
    sigmoid = ACTIVATIONS["sigmoid"]
    state, memory = np.zeros(units), np.zeros(units)
    for step in sequence:
        values = step @ kernel + state @ recurrent + bias
        enter, keep, new, leave = np.split(values, 4)
        memory = sigmoid(keep) * memory + sigmoid(enter) * np.tanh(new)
        state = sigmoid(leave) * np.tanh(memory)
    return state


def run_bank(rows, experts):
    """`(N, ...) -> (N, E, ...)`: every function on every row."""
    return np.stack(
        [np.stack([expert(row) for expert in experts]) for row in rows]
    )


def mixture(rows, gates, experts):
    """sum_e g_e f_e(x) for each row; an expert with gate 0 is not asked."""
    results = []
    for row, weights in zip(rows, gates, strict=True):
        total = np.zeros_like(experts[0](row))
        for weight, expert in zip(weights, experts, strict=True):
            if weight != 0:
                total = total + weight * expert(row)
        results.append(total)
    return np.stack(results)


def importance(gates, real=None):
    """Squared coefficient of variation of the experts' summed gates."""
    totals = np.zeros(gates.shape[1])
    for n, row in enumerate(gates):
        if real is None or real[n]:
            totals += row
    mean = sum(totals) / len(totals)
    spread = sum((total - mean) ** 2 for total in totals) / len(totals)
    return spread / mean**2


def entropy(shares):
    return -sum(share * np.log(share) for share in shares if share > 0)


def mutual_information(gates, real=None):
    """H(mean gates) - mean H(gates), row by row."""
    kept = [row for n, row in enumerate(gates) if real is None or real[n]]
    mean = sum(kept) / len(kept)
    return entropy(mean) - sum(map(entropy, kept)) / len(kept)
