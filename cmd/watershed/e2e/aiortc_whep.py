# usage: aiortc_whep.py URL N   plays WHEP until N pictures are decoded
import asyncio
import sys
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription


async def play(url, n):
    pc = RTCPeerConnection()
    video = pc.addTransceiver("video", direction="recvonly").receiver
    pc.addTransceiver("audio", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    request = urllib.request.Request(url, pc.localDescription.sdp.encode(), {"Content-Type": "application/sdp"})
    with urllib.request.urlopen(request) as response:
        answer = response.read().decode()
    await pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    for _ in range(n):
        frame = await video.track.recv()
    print(f"{n} pictures of {frame.width}x{frame.height}")
    await pc.close()


asyncio.run(asyncio.wait_for(play(sys.argv[1], int(sys.argv[2])), 60))
