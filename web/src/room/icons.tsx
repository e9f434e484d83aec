const paths = {
  'mic': 'M12 4a2.6 2.6 0 0 1 2.6 2.6v4.8a2.6 2.6 0 0 1-5.2 0V6.6A2.6 2.6 0 0 1 12 4zM6.5 11.2a5.5 5.5 0 0 0 11 0M12 16.7V20',
  'mic-off': 'M9.4 9V6.6a2.6 2.6 0 0 1 5.2 0v4.8M6.5 11.2a5.5 5.5 0 0 0 8.8 4.4M17.5 11.2a5.4 5.4 0 0 1-.3 1.7M12 16.7V20M4.5 4.5l15 15',
  'camera': 'M4 7.5h10.5v9H4zM14.5 11l5.5-3v8l-5.5-3',
  'camera-off': 'M8.5 7.5h6v6M14.5 16.5H4v-9h1.5M15 11l5-3v8l-2-1.1M4.5 4.5l15 15',
  'screen': 'M3.5 5.5h17v11h-17zM9 20h6M12 8.5v5M9.8 10.5L12 8.3l2.2 2.2',
  'chat': 'M4.5 5.5h15v10.5h-8l-4 3.5V16h-3z',
  'leave': 'M4 14.5c-.8-3 3.5-5 8-5s8.8 2 8 5l-3.5.5-.8-2.5a11 11 0 0 0-7.4 0L7.5 15z',
} as const;

export type RoomIcon = keyof typeof paths;

export function Icon({ name }: { name: RoomIcon }) {
  return (
    <svg viewBox="0 0 24 24" width="23" height="23" fill="none" stroke="currentColor" stroke-width="1.7" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
