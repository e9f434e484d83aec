"""Publishes to a WHIP address, or plays a WHEP address until 30 pictures were decoded:  publish URL | play URL FILE"""
import asyncio
import sys
import urllib.request

from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack


async def exchange(pc, url):
    await pc.setLocalDescription(await pc.createOffer())
    request = urllib.request.Request(url, pc.localDescription.sdp.encode(), {"Content-Type": "application/sdp"})
    with urllib.request.urlopen(request) as answer:
        await pc.setRemoteDescription(RTCSessionDescription(answer.read().decode(), "answer"))


async def publish(url):
    pc = RTCPeerConnection()
    pc.addTransceiver(VideoStreamTrack(), "sendonly")
    pc.addTransceiver(AudioStreamTrack(), "sendonly")
    await exchange(pc, url)
    await asyncio.Event().wait()


async def play(url, file):
    pc = RTCPeerConnection()
    video = pc.addTransceiver("video", "recvonly").receiver
    await exchange(pc, url)
    for _ in range(30):
        await video.track.recv()
    with open(file, "w") as f:
        f.write("30 pictures")
    await pc.close()


asyncio.run({"publish": publish, "play": play}[sys.argv[1]](*sys.argv[2:]))
