// The page of skdigits.draw: from a stroke to pixels, logits, probabilities, a class.
// Images are {values, height, width}; values are fractions of full ink, row by row.
"use strict";

// ---- Numbers ------------------------------------------------------------------

const TIE = 1e-5; // added before a place is rounded, as in skdigits.engine.images
const NOISE_RANGE = 6 * 1.4826;
const LEAST_VARIANCE = 1e-9;

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
}

function floatsOf(base64) {
  return new Float32Array(bytesOf(base64).buffer);
}

function base64Of(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096)
    text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return btoa(text);
}

const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
const whole = (x) => Math.floor(x + 0.5 + TIE);

function largestOf(values) {
  let largest = 0;
  for (let i = 0; i < values.length; i++) if (values[i] > largest) largest = values[i];
  return largest;
}

function evenRounded(x) {
  const below = Math.floor(x);
  if (x - below !== 0.5) return Math.round(x);
  return below % 2 ? below + 1 : below;
}

// ---- Preparation: DigitNormalizer, Deskew and CenterByMass ----------------------

// Pixels (uint8) are computed with in float32, everything else in float64.
function imageOf(bytes, height, width, rounded) {
  const Values = rounded ? Float32Array : Float64Array;
  const values = new Values(bytes.length);
  for (let i = 0; i < bytes.length; i++) values[i] = bytes[i] / 255;
  return { values, height, width };
}

function made(like, height, width) {
  return { values: new like.values.constructor(height * width), height, width };
}

// What a number becomes that is stored beside the values of an image.
function roundingOf({ values }) {
  return values instanceof Float32Array ? Math.fround : (x) => x;
}

function roundToBytes(image) {
  image.values.forEach((value, i, all) => {
    all[i] = evenRounded(Math.fround(value * 255)) / 255;
  });
}

function moments({ values, height, width }, scale = 1) {
  const mass = new Float64Array(height);
  const moment = new Float64Array(height);
  for (let r = 0; r < height; r++)
    for (let c = 0; c < width; c++) {
      const value = values[r * width + c];
      if (value === 0) continue;
      mass[r] += value / scale;
      moment[r] += (value / scale) * c;
    }

  const sum = (term) => mass.reduce((total, _, r) => total + term(r), 0);
  const total = sum((r) => mass[r]) || 1;
  const row = sum((r) => mass[r] * r) / total;
  const column = sum((r) => moment[r]) / total;
  const variance = sum((r) => mass[r] * (r - row) ** 2) / total;
  const covariance =
    sum((r) => (moment[r] - column * mass[r]) * (r - row)) / total;
  return { row, column, variance, covariance };
}

function greyLevels({ values, height, width }) {
  const border = [];
  for (const r of [0, height - 1])
    for (let c = 0; c < width; c++) border.push(values[r * width + c]);
  for (let r = 0; r < height; r++)
    border.push(values[r * width], values[r * width + width - 1]);
  border.sort((a, b) => a - b);

  const quartiles = [1, 2, 3].map((k) => border[Math.floor((border.length * k) / 4)]);
  let low = Infinity;
  let high = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  return [low, ...quartiles, high];
}

function separateForeground(image, inverted) {
  const f = roundingOf(image);
  const found = greyLevels(image);
  const largest = Math.max(...found.map(Math.abs), 2 ** -126);
  const [low, lower, middle, upper, high] = found.map((x) => f(x / largest));
  const below = f(middle - low);
  const above = f(high - middle);

  const dark = inverted ?? below > above;
  const misled =
    inverted !== null && (dark ? below < f(above / 4) : above < f(below / 4));
  const ground = misled ? (dark ? high : low) : middle;
  const noise = misled ? 0 : f(dark ? upper - middle : middle - lower);

  const unit = dark ? -largest : largest;
  const shift = dark ? -ground : ground;
  const foreground = made(image, image.height, image.width);
  const from = image.values;
  const to = foreground.values;
  for (let i = 0; i < to.length; i++) to[i] = Math.max(f(from[i] / unit) - shift, 0);
  return { foreground, noise };
}

function boundsOf(largest, limit) {
  const first = largest.findIndex((value) => value > limit);
  if (first < 0) return { first: 0, last: largest.length - 1 };
  let last = largest.length - 1;
  while (!(largest[last] > limit)) last--;
  return { first, last };
}

const sizeOf = (box) => box.last - box.first + 1;

// Weights (size, length) that scale a box and move its centre of mass.
function resampling(box, centre, scale, size, length, f) {
  const room = size - Math.ceil(sizeOf(box) * scale - TIE);
  const wanted = whole((size >> 1) + 0.5 - (centre - box.first + 0.5) * scale);
  const start = Math.max(Math.min(wanted, room), 0);
  const reach = f(0.5 / Math.min(scale, 1));

  const weights = new Float64Array(size * length);
  for (let i = 0; i < size; i++) {
    const at = f((i - start + 0.5) / scale - 0.5 + box.first);
    for (let j = 0; j < length; j++) {
      const end = Math.min(f(at + reach), j + 0.5);
      const covered = f(end - Math.max(f(at - reach), j - 0.5));
      if (covered > 0) weights[i * length + j] = f(covered / f(2 * reach));
    }
  }
  return weights;
}

// down (size, height) · image · acrossᵀ (width, size)
function resampled(image, down, across, size) {
  const { values, height, width } = image;
  const half = new Float64Array(size * width);
  for (let i = 0; i < size; i++)
    for (let r = 0; r < height; r++) {
      const weight = down[i * height + r];
      if (weight)
        for (let c = 0; c < width; c++)
          half[i * width + c] += weight * values[r * width + c];
    }

  const result = made(image, size, size);
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      let sum = 0;
      for (let c = 0; c < width; c++)
        sum += half[i * width + c] * across[j * width + c];
      result.values[i * size + j] = sum;
    }
  return result;
}

// Clears the noise; the bounds of the digit are those of the pixels above a limit.
function clearedBounds({ values, height, width }, noiseLimit, limit) {
  const inRows = new Float64Array(height);
  const inColumns = new Float64Array(width);
  for (let r = 0; r < height; r++)
    for (let c = 0; c < width; c++) {
      const i = r * width + c;
      if (values[i] < noiseLimit) values[i] = 0;
      if (values[i] > inRows[r]) inRows[r] = values[i];
      if (values[i] > inColumns[c]) inColumns[c] = values[i];
    }
  return { rows: boundsOf(inRows, limit), columns: boundsOf(inColumns, limit) };
}

// Strokes have soft edges: so many pixels stay around the digit.
function clearOutside({ values, height, width }, rows, columns, margin) {
  const near = (box, i) => i >= box.first - margin && i <= box.last + margin;
  const isNear = Array.from({ length: width }, (_, c) => near(columns, c));
  for (let r = 0; r < height; r++) {
    const nearRow = near(rows, r);
    for (let c = 0; c < width; c++)
      if (!nearRow || !isNear[c]) values[r * width + c] = 0;
  }
}

function normalise(image, step) {
  const f = roundingOf(image);
  const { foreground, noise } = separateForeground(image, step.inverted);
  const { values, height, width } = foreground;
  const largest = largestOf(values);
  const noiseLimit = Math.min(f(noise * f(NOISE_RANGE)), f(largest / 2));
  const limit = Math.max(f(largest * f(step.threshold)), noiseLimit);

  const { rows, columns } = clearedBounds(foreground, noiseLimit, limit);
  const scale = step.digit_size / Math.max(sizeOf(rows), sizeOf(columns));
  clearOutside(foreground, rows, columns, 1 / scale);

  const { row, column } = moments(foreground);
  const down = resampling(rows, row, scale, step.size, height, f);
  const across = resampling(columns, column, scale, step.size, width, f);
  const result = resampled(foreground, down, across, step.size);
  const most = largestOf(result.values) || 1;
  result.values.forEach((value, i, all) => (all[i] = value / most));
  return result;
}

// out[i] = line[i − offset] along rows or columns; what lies outside is 0.
function shifted(image, offsetOf, alongRows) {
  const { values, height, width } = image;
  const f = roundingOf(image);
  const result = made(image, height, width);
  const at = (r, c) =>
    r >= 0 && r < height && c >= 0 && c < width ? values[r * width + c] : 0;

  for (let r = 0; r < height; r++)
    for (let c = 0; c < width; c++) {
      const offset = offsetOf(r);
      const below = Math.floor(-offset);
      const fraction = f(-offset - below);
      const one = alongRows ? at(r, c + below) : at(r + below, c);
      const next = alongRows ? at(r, c + below + 1) : at(r + below + 1, c);
      result.values[r * width + c] =
        fraction < 0.5
          ? one + f(fraction * f(next - one))
          : next - f(f(next - one) * f(1 - fraction));
    }
  return result;
}

function deskew(image) {
  const { height, width, values } = image;
  const found = moments(image, largestOf(values) || 1);
  const steep = found.variance > LEAST_VARIANCE;
  const slope = steep ? found.covariance / found.variance : 0;
  const across = (r) => (width >> 1) - found.column - slope * (r - found.row);
  const down = (height >> 1) - found.row;
  return shifted(shifted(image, across, true), () => down, false);
}

function centre(image) {
  const { height, width, values } = image;
  const found = moments(image, largestOf(values) || 1);
  const down = whole((height >> 1) - found.row);
  const right = whole((width >> 1) - found.column);
  return shifted(shifted(image, () => right, true), () => down, false);
}

function pad(image, { height, width, top, left }) {
  const result = made(image, height, width);
  for (let r = 0; r < image.height; r++)
    for (let c = 0; c < image.width; c++)
      result.values[(top + r) * width + left + c] = image.values[r * image.width + c];
  return result;
}

const STEPS = { normalise, deskew, centre, pad };

function prepared(image, model) {
  for (const step of model.steps) {
    image = STEPS[step.kind](image, step);
    if (model.rounded) roundToBytes(image);
  }
  return image;
}

// ---- Classifiers ----------------------------------------------------------------

const ACTIVATIONS = {
  identity: (x) => x,
  logistic: (x) => 1 / (1 + Math.exp(-x)),
  tanh: Math.tanh,
  relu: (x) => Math.max(x, 0),
};

const METRICS = {
  mse(x, templates, start) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += (x[i] - templates[start + i]) ** 2;
    return sum / x.length;
  },
  mae(x, templates, start) {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += Math.abs(x[i] - templates[start + i]);
    return sum / x.length;
  },
  cosine(x, templates, start) {
    let product = 0;
    let ofX = 0;
    let ofTemplate = 0;
    for (let i = 0; i < x.length; i++) {
      product += x[i] * templates[start + i];
      ofX += x[i] ** 2;
      ofTemplate += templates[start + i] ** 2;
    }
    return 1 - product / (Math.sqrt(ofX) * Math.sqrt(ofTemplate) || 1);
  },
};

function dense(x, { weight, bias }) {
  const result = Float64Array.from(bias);
  for (let o = 0; o < bias.length; o++) {
    const start = o * x.length;
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += weight[start + i] * x[i];
    result[o] += sum;
  }
  return result;
}

// Maps are {values, height, width, channels}, one plane for each channel.
function padded(maps, [down, right]) {
  if (!down && !right) return maps;
  const { values, height, width, channels } = maps;
  const wide = width + 2 * right;
  const high = height + 2 * down;
  const result = new Float64Array(channels * high * wide);
  for (let line = 0; line < channels * height; line++) {
    const plane = Math.floor(line / height);
    const start = (plane * high + down + (line % height)) * wide + right;
    result.set(values.subarray(line * width, (line + 1) * width), start);
  }
  return { values: result, height: high, width: wide, channels };
}

function convolved(maps, layer) {
  const [outputs, channels, size] = layer.kernel;
  const input = padded(maps, layer.padding);
  const from = input.values;
  const height = input.height - size + 1;
  const width = input.width - size + 1;
  const values = new Float64Array(outputs * height * width);

  let place = 0;
  for (let o = 0; o < outputs; o++) {
    const start = o * height * width;
    values.fill(layer.bias[o], start, start + height * width);
    for (let i = 0; i < channels; i++)
      for (let down = 0; down < size; down++)
        for (let right = 0; right < size; right++) {
          const weight = layer.weight[place++];
          let there = (i * input.height + down) * input.width + right;
          let here = start;
          for (let r = 0; r < height; r++, there += input.width, here += width)
            for (let c = 0; c < width; c++) values[here + c] += weight * from[there + c];
        }
  }
  return { values, height, width, channels: outputs };
}

function pooled(maps, [down, right]) {
  const height = Math.floor(maps.height / down);
  const width = Math.floor(maps.width / right);
  const values = new Float64Array(maps.channels * height * width);
  for (let i = 0; i < values.length; i++) {
    const plane = Math.floor(i / (height * width)) * maps.height;
    const row = (Math.floor(i / width) % height) * down;
    const column = (i % width) * right;
    values[i] = -Infinity;
    for (let r = plane + row; r < plane + row + down; r++)
      for (let c = column; c < column + right; c++)
        values[i] = Math.max(values[i], maps.values[r * maps.width + c]);
  }
  return { ...maps, values, height, width };
}

// The features of a pixel lie side by side, as in Python.
function flattened({ values, height, width, channels }) {
  const size = height * width;
  return values.map((_, i) => values[(i % channels) * size + Math.floor(i / channels)]);
}

function networkLogits(x, classifier) {
  const activate = ACTIVATIONS[classifier.activation];
  const hidden = classifier.layers.slice(0, -1);
  if (classifier.shape) {
    const [height, width] = classifier.shape;
    let maps = { values: x, height, width, channels: 1 };
    for (const layer of hidden) {
      maps = pooled(convolved(maps, layer), layer.pool);
      maps.values = maps.values.map(activate);
    }
    x = flattened(maps);
  } else for (const layer of hidden) x = dense(x, layer).map(activate);

  const logits = [...dense(x, classifier.layers.at(-1))];
  if (logits.length === 1) return [0, ...logits]; // of two classes
  if (!classifier.log_sigmoid) return logits;
  return logits.map((z) => Math.min(z, 0) - Math.log1p(Math.exp(-Math.abs(z))));
}

// The distance to the nearest template of each class, and which one that is.
function templateDistances(x, { metric, templates, seen }) {
  const each = templates.length / x.length / seen.length;
  const distances = seen.map(() => Infinity);
  const nearest = seen.map((_, c) => c * each);
  seen.forEach((any, c) => {
    for (let t = c * each; any && t < (c + 1) * each; t++) {
      const distance = METRICS[metric](x, templates, t * x.length);
      if (distance < distances[c]) {
        distances[c] = distance;
        nearest[c] = t;
      }
    }
  });
  return { distances, nearest };
}

function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((z) => Math.exp(z - most));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}

function classified(image, model) {
  const { classifier } = model;
  const x = Float64Array.from(image.values, (value) => value * model.ink);
  let found = {};
  if (classifier.kind === "templates") {
    found = templateDistances(x, classifier);
    found.logits = found.distances.map((d) => -d / classifier.temperature);
  } else found.logits = networkLogits(x, classifier);

  const probabilities = softmax(found.logits);
  const label = probabilities.indexOf(Math.max(...probabilities));
  return { ...found, probabilities, label, image };
}

// Pixels (uint8) are bright ink on black, unless a model wants the reverse.
function read(model, bytes, height, width) {
  const image = imageOf(bytes, height, width, model.rounded);
  return classified(prepared(image, model), model);
}

// Models that see the same picture share it.
function readAll(models, bytesFor) {
  const pictures = new Map();
  return models.map((model) => {
    const key = JSON.stringify([model.steps, model.rounded, model.dark]);
    if (!pictures.has(key)) {
      const image = imageOf(bytesFor(model.dark), SIDE, SIDE, model.rounded);
      pictures.set(key, prepared(image, model));
    }
    return classified(pictures.get(key), model);
  });
}

function unpack(model) {
  const { classifier } = model;
  if (!classifier) return;
  if (classifier.templates) classifier.templates = floatsOf(classifier.templates);
  for (const layer of classifier.layers ?? []) {
    layer.weight = floatsOf(layer.weight);
    layer.bias = floatsOf(layer.bias);
  }
}

// ---- Ink: strokes become pixels by arithmetic, the same in every browser ---------

const SIDE = 420; // pixels, whatever the screen has
const RADIUS = 16; // of the pen

class Ink {
  constructor() {
    this.pixels = new Uint8Array(SIDE * SIDE);
    this.strokes = [];
    this.past = []; // earlier lists of strokes
  }

  get empty() {
    return this.strokes.length === 0;
  }

  begin(point) {
    this.past.push(this.strokes);
    this.strokes = [...this.strokes, [point]];
    this.segment(point, point); // a tap is a disc
  }

  extend(point) {
    const stroke = this.strokes.at(-1);
    this.segment(stroke.at(-1), point);
    stroke.push(point);
  }

  clear() {
    if (this.empty) return;
    this.past.push(this.strokes);
    this.show([]);
  }

  undo() {
    if (this.past.length) this.show(this.past.pop());
  }

  show(strokes) {
    this.strokes = strokes;
    this.pixels.fill(0);
    for (const stroke of strokes) {
      this.segment(stroke[0], stroke[0]);
      for (let i = 1; i < stroke.length; i++) this.segment(stroke[i - 1], stroke[i]);
    }
  }

  // All pixels near the line from a to b, with soft edges.
  segment(a, b) {
    const reach = RADIUS + 1;
    const span = (p, q) => [
      clamp(Math.floor(Math.min(p, q) - reach), 0, SIDE),
      clamp(Math.ceil(Math.max(p, q) + reach), 0, SIDE),
    ];
    const [left, right] = span(a.x, b.x);
    const [top, bottom] = span(a.y, b.y);
    const dx = b.x - a.x;
    const dy = b.y - a.y;
    const length = dx * dx + dy * dy || 1;

    for (let y = top; y < bottom; y++)
      for (let x = left; x < right; x++) {
        const px = x + 0.5 - a.x;
        const py = y + 0.5 - a.y;
        const along = clamp((px * dx + py * dy) / length, 0, 1);
        const distance = Math.hypot(px - along * dx, py - along * dy);
        const value = Math.round(255 * clamp(RADIUS + 0.5 - distance, 0, 1));
        const i = y * SIDE + x;
        if (value > this.pixels[i]) this.pixels[i] = value;
      }
  }

  bytes(dark) {
    return dark ? this.pixels.map((value) => 255 - value) : this.pixels;
  }
}

// ---- The page -------------------------------------------------------------------

const data = JSON.parse(document.getElementById("data").textContent);
const ink = new Ink();
const MOST_ROWS = 16;
const SHOWN = 10; // of more classes, the likeliest ones

function element(tag, className, parent, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text; // never as HTML
  parent?.append(node);
  return node;
}

function percent(p) {
  return `${(100 * p).toFixed(1)}\u00a0%`; // on one line
}

function written(x) {
  if (!Number.isFinite(x)) return x < 0 ? "−∞" : "∞";
  const text = Math.abs(x) >= 1e5 ? x.toPrecision(3) : x.toFixed(1);
  return text.replace("-", "−");
}

function distanceText(x) {
  if (!Number.isFinite(x)) return "∞";
  return x >= 1000 || (x && x < 1e-3) ? x.toExponential(1) : x.toPrecision(3);
}

// Bright ink on black, as the classifier gets it.
function paint(canvas, values, height, width, largest = 1) {
  canvas.height = height;
  canvas.width = width;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    const grey = 255 * clamp((values?.[i] ?? 0) / largest, 0, 1);
    picture.data.set([grey, grey, grey, 255], 4 * i);
  }
  context.putImageData(picture, 0, 0);
}

class Panel {
  constructor(model, parent) {
    this.model = model;
    this.root = element("section", "panel", parent);
    element("h2", "", this.root, model.title);
    const head = element("div", "head", this.root);
    const sees = element("figure", "", head);
    this.picture = element("canvas", "pixels", sees);
    this.picture.setAttribute("role", "img");
    const [height, width] = model.shape;
    const what = `what ${model.title} sees: ${height} × ${width} pixels`;
    this.picture.setAttribute("aria-label", what);
    element("figcaption", "", sees, `sees ${height} × ${width}`);

    const says = element("div", "says", head);
    this.answer = element("div", "answer", says);
    this.sure = element("div", "sure", says);
    element("p", "note", this.root, model.note);
    this.table = element("table", "", this.root);
    this.heading();
    const n = model.classes.length;
    const places = [...Array(n > MOST_ROWS ? SHOWN : n).keys()];
    this.rows = places.map(() => this.row());
    this.show(null);
  }

  heading() {
    const line = element("tr", "", element("thead", "", this.table));
    const names = ["class", "logit", "", "probability"];
    if (this.model.distances) names.splice(1, 0, "distance");
    for (const name of names) {
      const cell = element(name ? "th" : "td", "", line, name);
      if (name) cell.scope = "col";
    }
    this.body = element("tbody", "", this.table);
  }

  row() {
    const line = element("tr", "", this.body);
    const name = element("th", "class", line);
    name.scope = "row";
    const row = { line };
    if (this.model.distances) {
      if (this.model.shapes) row.shape = element("canvas", "pixels shape", name);
      row.shape?.setAttribute("aria-hidden", "true");
    }
    row.name = element("span", "", name);
    if (this.model.distances) row.distance = element("td", "number", line);
    row.logit = element("td", "number", line);
    row.bar = element("div", "bar", element("td", "bars", line));
    row.probability = element("td", "number", line);
    return row;
  }

  // Without a result, nothing is said.
  show(result) {
    this.result = result;
    const { classes, shape } = this.model;
    const [height, width] = shape;
    paint(this.picture, result?.image?.values, height, width);
    this.answer.textContent = result ? classes[result.label] : "";
    this.answer.classList.toggle("long", result && classes[result.label].length > 3);
    const sure = result?.probabilities?.[result.label];
    this.sure.textContent = sure === undefined ? "" : percent(sure);

    const order = this.order(result);
    this.rows.forEach((row, i) => this.fill(row, order[i], result));
  }

  order(result) {
    const all = [...this.model.classes.keys()];
    if (all.length <= MOST_ROWS || !result) return all;
    const by = result.probabilities ?? result.logits;
    if (by) return all.sort((a, b) => by[b] - by[a]);
    return [result.label, ...all.filter((place) => place !== result.label)];
  }

  fill(row, place, result) {
    const label = this.model.classes[place];
    row.name.textContent = label;
    row.name.title = label;
    row.line.classList.toggle("best", result?.label === place);
    if (row.shape) this.fillShape(row.shape, result?.nearest?.[place] ?? place);
    const text = (values, write) => (values ? write(values[place]) : "");
    if (row.distance) row.distance.textContent = text(result?.distances, distanceText);
    row.logit.textContent = text(result?.logits, written);
    row.probability.textContent = text(result?.probabilities, percent);
    const share = result?.probabilities?.[place] ?? 0;
    row.bar.style.width = `${100 * share}%`;
  }

  fillShape(canvas, number) {
    if (canvas.number === number) return;
    canvas.number = number;
    const [height, width] = this.model.shape;
    const start = number * height * width;
    const values = this.model.shapes.subarray(start, start + height * width);
    paint(canvas, values, height, width, largestOf(values) || 1);
  }

  get words() {
    if (!this.result) return "";
    const label = this.model.classes[this.result.label];
    const sure = this.result.probabilities?.[this.result.label];
    const certain = sure === undefined ? "" : ` (${percent(sure)})`;
    return `${this.model.title}: ${label}${certain}`;
  }
}

// ---- From strokes to panels -------------------------------------------------------

const canvas = document.getElementById("canvas");
const live = document.getElementById("live");
const message = document.getElementById("message");
canvas.width = SIDE;
canvas.height = SIDE;
let panels = [];
let active = null; // the pointer that draws
let planned = false;

function paintInk() {
  const context = canvas.getContext("2d");
  const picture = context.createImageData(SIDE, SIDE);
  // The colour is that of the text, in the dark, too.
  const [red, green, blue] = getComputedStyle(canvas).color.match(/[\d.]+/g).map(Number);
  ink.pixels.forEach((value, i) => {
    if (value) picture.data.set([red, green, blue, value], 4 * i);
  });
  context.putImageData(picture, 0, 0);
}

function plan() {
  if (planned) return;
  planned = true;
  requestAnimationFrame(() => {
    planned = false;
    update();
  });
}

function update() {
  paintInk();
  document.body.classList.toggle("empty", ink.empty);
  if (data.server) return ask();
  const results = ink.empty ? [] : readAll(data.models, (dark) => ink.bytes(dark));
  panels.forEach((panel, i) => panel.show(results[i] ?? null));
  say();
}

// Screen readers are told once a stroke is done.
function say() {
  if (active !== null) return;
  live.textContent = panels.map((panel) => panel.words).filter(Boolean).join(".\n");
}

function pointOf(event) {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.left) / box.width) * SIDE,
    y: ((event.clientY - box.top) / box.height) * SIDE,
  };
}

function finish(event) {
  if (event.pointerId !== active) return;
  active = null;
  plan();
}

// A pointer that has gone in the meantime cannot be captured: it has left a tap.
function captured(pointer) {
  try {
    canvas.setPointerCapture(pointer);
    return pointer;
  } catch {
    return null;
  }
}

canvas.addEventListener("pointerdown", (event) => {
  if (active !== null || event.button !== 0) return; // a second finger waits
  event.preventDefault();
  active = captured(event.pointerId);
  message.textContent = "";
  ink.begin(pointOf(event));
  plan();
});

canvas.addEventListener("pointermove", (event) => {
  if (event.pointerId !== active) return;
  if (!(event.buttons & 1)) return finish(event); // while another button is held
  const between = event.getCoalescedEvents?.() ?? [];
  for (const one of between.length ? between : [event]) ink.extend(pointOf(one));
  plan();
});

for (const kind of ["pointerup", "pointercancel", "lostpointercapture"])
  canvas.addEventListener(kind, finish);
canvas.addEventListener("contextmenu", (event) => event.preventDefault());

function change(action) {
  active = null; // a stroke that is being drawn ends
  action();
  message.textContent = "";
  plan();
}

const undo = () => change(() => ink.undo());
const clear = () => change(() => ink.clear());
document.getElementById("undo").addEventListener("click", undo);
document.getElementById("clear").addEventListener("click", clear);
document.addEventListener("keydown", (event) => {
  const z = event.key.toLowerCase() === "z" && !event.shiftKey && !event.altKey;
  if (event.key === "Escape") clear();
  else if (z && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    undo();
  }
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", plan);

// ---- With a server: it predicts, and files labelled drawings -----------------------

let asking = false;
let again = false;

async function post(path, bytes) {
  const headers = { "Content-Type": "application/octet-stream" };
  const asked = fetch(path, { method: "POST", headers, body: bytes });
  const response = await asked.catch(() => {
    throw new Error("the server is gone. Start it again, and open its new address.");
  });
  const text = await response.text();
  if (!response.ok) throw new Error(text.trim());
  return JSON.parse(text);
}

function shownBy(result) {
  const values = floatsOf(result.image);
  const numbers = (list) => list?.map((x) => x ?? -Infinity);
  const distances = result.distances?.map((x) => x ?? Infinity);
  const logits = numbers(result.logits);
  return { ...result, logits, distances, image: { values } };
}

async function ask() {
  again = asking;
  if (asking) return; // the latest drawing is asked about when the answer is here
  asking = true;
  try {
    if (ink.empty) panels.forEach((panel) => panel.show(null));
    else {
      const results = await post("predict", ink.pixels.slice());
      panels.forEach((panel, i) => panel.show(ink.empty ? null : shownBy(results[i])));
      if (!ink.empty) message.textContent = "";
    }
    if (!again) say();
  } catch (error) {
    panels.forEach((panel) => panel.show(null));
    message.textContent = `No answer: ${error.message}`;
  }
  asking = false;
  if (again) ask();
}

async function save(place) {
  if (ink.empty) {
    message.textContent = "Draw something first.";
    return;
  }
  const drawing = ink.pixels.slice();
  try {
    const { file } = await post(`save?class=${place}`, drawing);
    clear();
    message.textContent = `Saved as ${file}.`;
  } catch (error) {
    message.textContent = `Not saved: ${error.message}`;
  }
}

function offerToSave() {
  const box = document.getElementById("save");
  box.hidden = false;
  data.models[0].classes.forEach((label, place) => {
    const button = element("button", "label", box, label);
    button.type = "button";
    button.addEventListener("click", () => save(place));
  });
}

// ---- Begin ------------------------------------------------------------------------

data.models.forEach((model) => {
  unpack(model);
  model.shapes = model.classifier?.templates ?? (model.shapes && floatsOf(model.shapes));
  model.distances ??= model.classifier?.kind === "templates";
  panels.push(new Panel(model, document.getElementById("panels")));
});
document.body.dataset.panels = Math.min(panels.length, 4);
if (data.save) offerToSave();
update();

// For tests and the console; pixels travel as base64.
globalThis.skdigits = {
  side: SIDE,
  models: data.models,
  drawing: (dark = false) => base64Of(ink.bytes(dark)),
  read(number, pixels, height = SIDE, width = SIDE) {
    return read(data.models[number], bytesOf(pixels), height, width);
  },
  classify(number, pixels) {
    const model = data.models[number];
    const [height, width] = model.shape;
    const image = imageOf(bytesOf(pixels), height, width, model.rounded);
    return classified(image, model);
  },
};
