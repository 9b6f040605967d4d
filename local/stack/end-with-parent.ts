/**
 * Preloaded into a child process that has a channel to its parent: when the parent is gone, whatever
 * ended it, the child gets the signal that its parent would have sent.
 */
process.on("disconnect", () => process.kill(process.pid, "SIGTERM"));
// Listening must not keep a child alive that has nothing else to do.
process.channel?.unref();
