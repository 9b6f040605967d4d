/** Addresses of the management API, and the client binding that carries them to the app. */

export interface ManagementEndpoint {
  readonly hubName: string;
  readonly connectionName: string;
  /** Origin of the public listener, e.g. `http://127.0.0.1:7071`. */
  readonly origin: string;
  /** `http://127.0.0.1:<rpcPort>/durabletask/`: for the app itself, without a key. */
  readonly rpcBaseUrl: string;
  readonly systemKey: string;
}

export const managementPath = "/runtime/webhooks/durabletask";
export const rpcPath = "/durabletask";

export interface InstanceUrls {
  readonly id: string;
  readonly statusQueryGetUri: string;
  readonly sendEventPostUri: string;
  readonly terminatePostUri: string;
  readonly rewindPostUri: string;
  readonly purgeHistoryDeleteUri: string;
  readonly restartPostUri: string;
  readonly suspendPostUri: string;
  readonly resumePostUri: string;
}

/** @param base where the API is mounted, without a slash at its end */
export function instanceUrls(
  endpoint: ManagementEndpoint,
  base: string,
  instanceId: string,
): InstanceUrls {
  const { hubName, connectionName, systemKey } = endpoint;
  const instance = `${base}/instances/${encodeURIComponent(instanceId)}`;
  const query = `taskHub=${hubName}&connection=${connectionName}&code=${systemKey}`;
  return {
    id: instanceId,
    statusQueryGetUri: `${instance}?${query}`,
    sendEventPostUri: `${instance}/raiseEvent/{eventName}?${query}`,
    terminatePostUri: `${instance}/terminate?reason={text}&${query}`,
    rewindPostUri: `${instance}/rewind?reason={text}&${query}`,
    purgeHistoryDeleteUri: `${instance}?${query}`,
    restartPostUri: `${instance}/restart?${query}`,
    suspendPostUri: `${instance}/suspend?reason={text}&${query}`,
    resumePostUri: `${instance}/resume?reason={text}&${query}`,
  };
}

/** JSON text of the input binding `durableClient`. */
export function durableClientBinding(endpoint: ManagementEndpoint): string {
  const base = `${endpoint.origin}${managementPath}`;
  const key = `code=${endpoint.systemKey}`;
  const create = `${base}/orchestrators/{functionName}[/{instanceId}]`;
  return JSON.stringify({
    taskHubName: endpoint.hubName,
    connectionName: endpoint.connectionName,
    creationUrls: {
      createNewInstancePostUri: `${create}?${key}`,
      createAndWaitOnNewInstancePostUri: `${create}?timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}&${key}`,
    },
    managementUrls: instanceUrls(endpoint, base, "INSTANCEID"),
    baseUrl: base,
    requiredQueryStringParameters: key,
    rpcBaseUrl: endpoint.rpcBaseUrl,
    httpBaseUrl: null,
  });
}
