import type { ProbeCode } from "../model/doctor.ts";

/** Why a probe usually fails so, and what to do, where Resource Manager shows nothing wrong. */
export const PROBE_ADVICE: Readonly<
  Record<ProbeCode, { readonly why: string; readonly todo: string }>
> = {
  Ok: { why: "It works.", todo: "Nothing is to be done." },
  NoSuchName: {
    why: "A zone that is linked to the worker's network has no record of this name, or the network's own name servers do not forward to Azure.",
    todo: "Add the record, or let the own name servers forward the privatelink names to 168.63.129.16.",
  },
  NameServerSilent: {
    why: "The name servers of the worker's network do not answer: they are own ones that are down, or a rule blocks port 53.",
    todo: "Check the DNS servers that are set on the worker's network and its network security group.",
  },
  PublicAddress: {
    why: "No private DNS zone of this service is linked to the worker's network, or its own name servers answer from the Internet.",
    todo: "Link the privatelink zone to the worker's network, or let its own name servers forward the privatelink names to 168.63.129.16.",
  },
  ConnectTimedOut: {
    why: "The name has a private address, and nothing answers there: an old record of an endpoint that is gone, a missing or disconnected peering, a route table, or a network security group that blocks port 443.",
    todo: "Compare the address with the private endpoint's, then check peerings, routes and security groups between the worker's subnet and it.",
  },
  ConnectRefused: {
    why: "Something else than the service has this address: usually an old record of an endpoint that is gone.",
    todo: "Compare the address with the private endpoint's and correct the record.",
  },
  NoRoute: {
    why: "The worker's network has no way to the address: the endpoint is in a network that is not peered, or a route sends the packets to nowhere.",
    todo: "Check the peerings with the endpoint's network and the route table of the worker's subnet.",
  },
  ConnectionCut: {
    why: "The connection was accepted and then cut: the endpoint's connection is not approved, or a firewall on the way inspects TLS.",
    todo: "Check the state of the endpoint's connection, and exempt the address from inspection.",
  },
  ForeignCertificate: {
    why: "The address belongs to another service: the record points to the endpoint of another account.",
    todo: "Let the record point to this service's own private endpoint.",
  },
  UntrustedCertificate: {
    why: "A firewall on the way replaces the certificate, or the worker's image lacks Azure's authorities.",
    todo: "Exempt storage from TLS inspection, or update the image's authorities.",
  },
  TokenMissing: {
    why: "The worker's managed identity is missing, or the machine's instance metadata service is blocked.",
    todo: "Check the identity that HOLDFAST_WORKER_IDENTITY_ID names, and that 169.254.169.254 is not blocked.",
  },
  NetworkRefused: {
    why: "The request came to the service on a way that its network rules do not allow: not through its private endpoint, or through another one's.",
    todo: "Check that the name leads to this service's own private endpoint; for a snapshot, that its disk access is the one of the endpoint.",
  },
  PermissionMissing: {
    why: "The network is well, and the worker's identity lacks a role on the service; a new assignment takes some minutes.",
    todo: "Assign the worker's role (docs/workers.md) to the worker's identity on this account; for a disk, holdfast-worker-disks where its snapshot lies.",
  },
  SasRefused: {
    why: "The SAS was revoked or has expired, or the snapshot allows access through another disk access only.",
    todo: "Run it again; when it stays, check the snapshot's networkAccessPolicy and its disk access.",
  },
  NotFound: {
    why: "The service answers, and what was asked for is not there: container, queue or bundle was deleted, or the name leads to another account.",
    todo: "Run it again: what is missing is made again; when it stays, check where the name leads.",
  },
  ServiceFailed: {
    why: "The service itself failed or throttles.",
    todo: "Run it again later; when it stays, look at the service's health in Azure.",
  },
  TooSlow: {
    why: "The connection stands and no answer came: packets are lost on the way, often by a smaller MTU behind a gateway.",
    todo: "Check what lies between the worker's subnet and the endpoint.",
  },
};
