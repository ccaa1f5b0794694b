/* Colours of values: cividis, which colour-blind readers order alike (Nunez et al., PLOS ONE 2018), */
/* and a scale from blue over white to orange where a middle counts. */

const CIVIDIS = [
  [0, 34, 78], [8, 51, 112], [53, 69, 108], [79, 87, 108], [102, 105, 112], [125, 124, 120],
  [148, 142, 119], [174, 163, 113], [200, 184, 102], [229, 207, 82], [254, 232, 56],
];
const AROUND = [[0, 90, 160], [86, 150, 205], [178, 208, 230], [245, 245, 242], [245, 200, 160], [230, 130, 60], [175, 75, 0]];

function between(stops, share) {
  const place = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const index = Math.min(Math.floor(place), stops.length - 2);
  return stops[index].map((low, i) => low + (stops[index + 1][i] - low) * (place - index));
}

/** A scale of positive values, logarithmic; `middle` puts its colour in the midst. */
export function scaleOf(values, middle = null) {
  const logs = values.filter((value) => value > 0).map(Math.log);
  let [low, high] = [Math.min(...logs), Math.max(...logs)];
  if (middle !== null) {
    const reach = Math.max(Math.abs(low - Math.log(middle)), Math.abs(high - Math.log(middle)), 0.05);
    [low, high] = [Math.log(middle) - reach, Math.log(middle) + reach];
  }
  const stops = middle === null ? CIVIDIS : AROUND;
  return {
    low: Math.exp(low), high: Math.exp(high),
    rgb: (value) => between(stops, value > 0 ? (Math.log(value) - low) / (high - low || 1) : 0),
    bar: `linear-gradient(90deg, ${stops.map(css).join(", ")})`,
  };
}

export const css = (rgb) => `rgb(${rgb.map(Math.round).join(" ")})`;

/** Black or white, whichever stands out more from a colour (contrast of WCAG 2). */
export function inkOn(rgb) {
  const [r, g, b] = rgb.map((part) => {
    const c = part / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b > 0.179 ? "#000" : "#fff";
}
