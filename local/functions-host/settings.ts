import { HoldfastError } from "#core/lib/errors.ts";

/**
 * App settings as the host reads them: names without case, `__` and `:` are the same, `%NAME%`
 * stands for a setting's value.
 */
export class AppSettings {
  readonly #values = new Map<string, string>();

  constructor(environment: Readonly<Record<string, string | undefined>>) {
    for (const [name, value] of Object.entries(environment)) {
      if (value !== undefined) this.#values.set(normalized(name), value);
    }
  }

  /** undefined when missing or empty: an empty setting counts as none. */
  get(name: string): string | undefined {
    const value = this.#values.get(normalized(name));
    return value === "" ? undefined : value;
  }

  /** Replaces each `%NAME%`. @throws HoldfastError `SettingMissing` */
  expand(text: string): string {
    return text.replaceAll(/%([^%]+)%/g, (whole, name: string) => {
      const value = this.get(name);
      if (value !== undefined) return value;
      throw new HoldfastError(
        "SettingMissing",
        `'${whole}' does not resolve to a value. Set the app setting ${name}.`,
      );
    });
  }
}

function normalized(name: string): string {
  return name.replaceAll("__", ":").toLowerCase();
}
