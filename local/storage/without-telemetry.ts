/**
 * Azurite without the library of its telemetry: that is off here (`--disableTelemetry`), but loading it
 * would take half of the time in which Azurite starts. To be imported before Azurite.
 */
import { createRequire, Module } from "node:module";

const require = createRequire(import.meta.url);
const fromAzurite = createRequire(require.resolve("azurite/package.json"));
const file = fromAzurite.resolve("applicationinsights");
const nothing = new Module(file);
nothing.loaded = true;
require.cache[file] = nothing;
