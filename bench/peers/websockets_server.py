#!/usr/bin/python3
"""websockets_server.py PORT - python3-websockets: /echo sends back what comes; elsewhere what one client sends goes to all the others."""
import asyncio
import sys

import websockets

clients = set()


async def serve(socket, path=None):
    if (path or socket.path) == '/echo':
        async for message in socket:
            await socket.send(message)
        return
    clients.add(socket)
    try:
        async for message in socket:
            websockets.broadcast(clients - {socket}, message)
    finally:
        clients.discard(socket)


async def main():
    async with websockets.serve(serve, '127.0.0.1', int(sys.argv[1]), compression=None, ping_interval=None, backlog=4096):
        print('ready', flush=True)
        await asyncio.Future()


asyncio.run(main())
