import "./activities.ts";
import "./orchestrators.ts";
import "./triggers.ts";
