/**
 * Preloaded into a child process that has a channel to its parent: when the parent is gone, whatever
 * ended it, the child gets the signal that its parent would have sent. What it needs for a graceful
 * end may be gone too, so it has a few seconds for that.
 */
const graceMs = 5000;
const failedExitCode = 1;

process.on("disconnect", () => {
  process.kill(process.pid, "SIGTERM");
  setTimeout(() => process.exit(failedExitCode), graceMs).unref();
});
// Listening must not keep a child alive that has nothing else to do.
process.channel?.unref();
