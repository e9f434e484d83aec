package hlsbridge
