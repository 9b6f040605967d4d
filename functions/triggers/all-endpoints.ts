import type { Endpoint } from "../http/endpoint.ts";
import { archiveAndRetrievalEndpoints } from "./archives.http.ts";
import { doctorEndpoints } from "./doctor.http.ts";
import { policyEndpoints } from "./policies.http.ts";
import { protectedVmEndpoints } from "./protected-vms.http.ts";
import { regionEndpoints } from "./regions.http.ts";
import { repositoryEndpoints } from "./repositories.http.ts";
import { repositoryRunEndpoints } from "./repository-runs.http.ts";
import { restoreEndpoints } from "./restores.http.ts";
import { sessionEndpoints } from "./sessions.http.ts";
import { workerEndpoints } from "./workers.http.ts";

export const ENDPOINTS: readonly Endpoint[] = [
  ...policyEndpoints,
  ...regionEndpoints,
  ...repositoryEndpoints,
  ...repositoryRunEndpoints,
  ...protectedVmEndpoints,
  ...archiveAndRetrievalEndpoints,
  ...doctorEndpoints,
  ...sessionEndpoints,
  ...restoreEndpoints,
  ...workerEndpoints,
];
