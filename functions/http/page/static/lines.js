// The lines of a text field.

/** Return the lines of a field that hold something. */
export function linesOf(value) {
  return value.split("\n").map((line) => line.trim()).filter(Boolean);
}
