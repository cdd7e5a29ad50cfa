// Preloaded into servers that others wrote: whatever address they ask for, they listen on loopback.
const { Server } = require('node:net');

const listen = Server.prototype.listen;
Server.prototype.listen = function onLoopback(...args) {
  const [first] = args;
  const port = typeof first === 'object' && first !== null ? first.port : first;
  if (!Number.isInteger(Number(port)) || typeof first === 'function') return listen.apply(this, args);
  const callback = args.findLast((argument) => typeof argument === 'function');
  if (callback) this.once('listening', callback);
  // At once rather than after a name look-up, because some servers read the address at once.
  this._listen2('127.0.0.1', Number(port), 4, 511, undefined, 0);
  return this;
};
